package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/module"
)

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
			ready := &dev.Readiness{FD: readyFD}
			defer func() { ready.Failed(err) }()
			selected, err := selectModules(target)
			if err != nil {
				return err
			}
			tree, err := settings.LoadFor(file.path, os.Environ(), selected)
			if err != nil {
				return err
			}
			return module.Run(cmd.Context(), module.Options{
				Config: tree, Environ: os.Environ(), Migrate: migrate, OnReady: ready.Reached,
			}, selected...)
		},
	}
	cmd.Flags().StringVar(&target, "target", cmp.Or(os.Getenv("SOUK_TARGET"), "all"),
		"services to run: all, or names with commas; SOUK_TARGET sets the default")
	cmd.Flags().BoolVar(&migrate, "migrate", false, "bring the services' databases up to date first")
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "file descriptor on which to write the admin address once ready")
	_ = cmd.Flags().MarkHidden("ready-fd") // the flag was just defined
	file.register(cmd.Flags())
	return cmd
}
