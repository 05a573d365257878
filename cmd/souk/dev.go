package main

import (
	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/dev"
)

func devCommand(data *dataFlag) *cobra.Command {
	var o dev.Options
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start everything on this machine",
		Long: `Start everything on this machine: a private PostgreSQL and Redis, an embedded NATS with JetStream, an OpenID
provider, a mail sink, all services and the gateway. Data lives in --data-dir and survives a restart. Ctrl-C drains
and stops all that was started.

Other commands (token, import, verify, saga …) find it through its data directory.`,
		Example: `  souk dev --demo
  souk dev --ephemeral --http 127.0.0.1:9090
  souk dev --split`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.DataDir, o.Modules = data.dir, modules()
			return dev.Run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.HTTP, "http", "127.0.0.1:8080", "address of the API")
	f.BoolVar(&o.Ephemeral, "ephemeral", false, "remove the data directory at the end")
	f.BoolVar(&o.Demo, "demo", false, "load the demo shops")
	f.BoolVar(&o.Split, "split", false, "run every service as a process of its own")
	f.StringVar(&o.Transport, "transport", "",
		"how services call each other: inprocess (default) or nats; with --split always nats")
	f.StringVar(&o.LogFile, "log-file", "",
		"where log lines go; default: souk.log in the data directory; - for standard error")
	return cmd
}
