package module

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"souk/pkg/config"
)

// Main runs modules as a process of their own: `order -config souk.yaml`. It ends the process.
func Main(modules ...Module) {
	path := flag.String("config", os.Getenv("SOUK_CONFIG"), "path of the configuration file (YAML); settings may also come from SOUK_… variables")
	migrate := flag.Bool("migrate", false, "bring the database up to date first")
	flag.Parse()
	if err := runMain(*path, *migrate, modules); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func runMain(path string, migrate bool, modules []Module) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tree, err := config.Load(path, os.Environ(), "SOUK_CONFIG")
	if err != nil {
		return err
	}
	if err := tree.CheckSections(append(Sections(), serviceNames...)...); err != nil {
		return err
	}
	return Run(ctx, Options{Config: tree, Environ: os.Environ(), Migrate: migrate}, modules...)
}
