package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"souk/tools/internal/repo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	protoDir := flags.String("proto", "", "folder of the contracts (default: proto/ of the repository)")
	image := flags.String("image", "", "write a descriptor image for buf to this file, and nothing else")
	check := flags.Bool("check", false, "write nothing; fail when gen/ is out of date")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	root, err := repo.Root()
	if err != nil {
		return err
	}
	if *protoDir == "" {
		*protoDir = filepath.Join(root, "proto")
	}
	if *image != "" {
		c, err := compile(ctx, *protoDir, publicRoot)
		if err != nil {
			return err
		}
		data, err := c.image()
		if err != nil {
			return err
		}
		return os.WriteFile(*image, data, 0o644)
	}
	files, err := generate(ctx, root, *protoDir)
	if err != nil {
		return err
	}
	tree := outputTree{root: root}
	if *check {
		return tree.check(files)
	}
	return tree.write(files)
}
