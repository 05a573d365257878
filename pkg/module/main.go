package module

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"souk/gen/go/souk/services"
	"souk/pkg/build"
	"souk/pkg/config"
)

const (
	configVariable = "SOUK_CONFIG"

	exitFailed = 1
	exitUsage  = 2
)

const usage = `Runs a service of souk (%[2]s) in a process of its own.

Usage:
  %[1]s [--config FILE] [--migrate]

Flags:
  --config FILE  the configuration file (YAML). Without the flag, the variable ` + configVariable + ` names it;
                 without either there is none. SOUK_… variables win over what stands in the file.
  --migrate      bring the database up to date first
  --version      show what the program was built from
  --help         show this
`

// Main runs modules in a process of their own: `order --config souk.yaml`. It exits with status 2 if the arguments are
// invalid, and with status 1 if the process fails.
func Main(modules ...Module) {
	os.Exit(mainStatus(os.Args, os.Environ(), os.Stdout, os.Stderr, modules))
}

func mainStatus(args, environ []string, stdout, stderr io.Writer, modules []Module) int {
	name := filepath.Base(args[0])
	o, err := parseFlags(args[1:], environ)
	switch {
	case errors.Is(err, flag.ErrHelp):
		var names []string
		for _, m := range modules {
			names = append(names, m.Name)
		}
		_, _ = fmt.Fprintf(stdout, usage, name, strings.Join(names, ", ")) // ignored: there is no place to report it
		return 0
	case err == nil && o.version:
		_, _ = fmt.Fprintln(stdout, name, build.Read()) // ignored as above
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "error: %v: see %s --help\n", err, name) // ignored as above
		return exitUsage
	}
	if err := runMain(o, environ, stderr, modules); err != nil {
		_, _ = fmt.Fprintln(stderr, "error:", err) // ignored as above
		return exitFailed
	}
	return 0
}

// mainFlags are the flags of a service's command.
type mainFlags struct {
	config  string
	migrate bool
	version bool
}

// parseFlags parses a service's command line. It returns flag.ErrHelp if help is requested.
func parseFlags(args, environ []string) (mainFlags, error) {
	var o mainFlags
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, configVariable+"="); ok {
			o.config = value
		}
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.config, "config", o.config, "")
	set.BoolVar(&o.migrate, "migrate", false, "")
	set.BoolVar(&o.version, "version", false, "")
	err := set.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		if unknown, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
			return o, fmt.Errorf("there is no flag --%s", unknown)
		}
		return o, err
	}
	if err == nil && set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return o, err
}

func runMain(o mainFlags, environ []string, logs io.Writer, modules []Module) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tree, err := config.Load(o.config, environ, configVariable)
	if err != nil {
		return err
	}
	if err := tree.CheckSections(append(Sections(), services.Names()...)...); err != nil {
		return err
	}
	calls, err := decode(tree, sectionRPC, DefaultRPC())
	if err != nil {
		return err
	}
	if err := calls.CheckSplit(modules); err != nil {
		return fmt.Errorf("rpc: %w", err)
	}
	return Run(ctx, Options{Config: tree, Environ: environ, Logs: logs, Migrate: o.migrate}, modules...)
}
