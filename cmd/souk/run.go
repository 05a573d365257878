package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"souk/pkg/config"
	"souk/pkg/migration"
	"souk/pkg/module"
)

// ofCommands are the SOUK_… variables that commands read. They configure no service.
var ofCommands = []string{"SOUK_CONFIG", "SOUK_URL", "SOUK_TOKEN"}

// configFlag is the flag --config, the path of a configuration file.
type configFlag struct{ path string }

func (f *configFlag) register(cmd *cobra.Command) {
	cmd.Flags().
		StringVar(&f.path, "config", os.Getenv("SOUK_CONFIG"), "configuration file (YAML); SOUK_… variables override it")
}

func (f *configFlag) load() (*config.Tree, error) { return f.loadWith(os.Environ()) }

func (f *configFlag) loadWith(environ []string) (*config.Tree, error) {
	tree, err := config.Load(f.path, environ, ofCommands...)
	if err != nil {
		return nil, err
	}
	return tree, tree.CheckSections(sections()...)
}

func runCommand() *cobra.Command {
	var target string
	var file configFlag
	var migrate bool
	var readyFD int
	cmd := &cobra.Command{
		Use:   "run --target=all|NAME,NAME",
		Short: "Run services against real infrastructure",
		Long: `Run the services named, against the PostgreSQL, Redis and NATS of the configuration.

Services in different processes talk over NATS: set rpc.transport to nats there.`,
		Example: `  souk run --target=all --config souk.yaml
  SOUK_RPC_TRANSPORT=nats souk run --target=order,payment --config souk.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ready := &readiness{fd: readyFD}
			defer func() { ready.failed(err) }()
			tree, err := file.load()
			if err != nil {
				return err
			}
			selected, err := selectModules(target)
			if err != nil {
				return err
			}
			if err := checkSettings(tree, selected); err != nil {
				return err
			}
			return module.Run(cmd.Context(), module.Options{
				Config: tree, Environ: os.Environ(), Migrate: migrate, OnReady: ready.reached,
			}, selected...)
		},
	}
	cmd.Flags().StringVar(&target, "target", "all", "services to run: all, or names with commas")
	cmd.Flags().BoolVar(&migrate, "migrate", false, "bring the services' databases up to date first")
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "file descriptor on which to write the admin address once ready")
	_ = cmd.Flags().MarkHidden("ready-fd") // the flag was just defined
	file.register(cmd)
	return cmd
}

// failedPrefix begins the line that a process writes to its readiness if it can't become ready.
const failedPrefix = "error: "

// readiness reports to souk dev, which started this process, that the process is ready, or why it failed.
// With fd 0 it reports nothing.
type readiness struct {
	fd   int
	once sync.Once
}

func (r *readiness) reached(admin string) { r.report(admin) }

func (r *readiness) failed(err error) {
	if err != nil {
		r.report(failedPrefix + strings.Join(strings.Fields(message(err)), " "))
	}
}

// report writes the line. Only the first call has an effect.
func (r *readiness) report(line string) {
	if r.fd == 0 {
		return
	}
	r.once.Do(func() {
		f := os.NewFile(uintptr(r.fd), "ready") //nolint:gosec // a small number
		_, _ = fmt.Fprintln(f, line)            // it fails only if the parent is gone, and then this process ends, too
		_ = f.Close()                           // as above
	})
}

func migrateCommand(dev *devFlags) *cobra.Command {
	var service string
	var file configFlag
	cmd := &cobra.Command{
		Use:       "migrate up|down|status",
		Short:     "Bring the databases' schemas up to date, take back the last migration, or show where they stand",
		Example:   "  souk migrate up --config souk.yaml\n  souk migrate down --service order --config souk.yaml",
		Args:      oneOf,
		ValidArgs: []string{"up", "down", "status"},
		RunE: func(cmd *cobra.Command, args []string) error {
			databases, err := databasesOf(dev, &file)
			if err != nil {
				return err
			}
			if args[0] == "down" && service == "" {
				return fmt.Errorf("down takes back one service's last migration: name it with --service")
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "SERVICE\tSET\tVERSION\tPENDING")
			found := false
			for _, m := range withDatabase() {
				if service != "" && m.Name != service {
					continue
				}
				found = true
				url, err := databases(m.Name)
				if err != nil {
					return err
				}
				if err := migrateOne(cmd.Context(), w, args[0], m, url); err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
			}
			if !found {
				return fmt.Errorf("there is no service %q with a database", service)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "one service; default: all that have a database")
	file.register(cmd)
	return cmd
}

func migrateOne(ctx context.Context, w *tabwriter.Writer, what string, m module.Module, url string) error {
	sets := m.Sets()
	switch what {
	case "up":
		if err := migration.UpAll(ctx, url, sets...); err != nil {
			return err
		}
	case "down":
		own := sets[len(sets)-1]
		if err := migration.DownSteps(ctx, url, own.Name, own.FS, 1); err != nil {
			return err
		}
	}
	for _, s := range sets {
		state, err := migration.Status(ctx, url, s.Name, s.FS)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", m.Name, s.Name, state.Version, state.Pending)
	}
	return nil
}
