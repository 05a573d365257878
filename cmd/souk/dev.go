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
  souk dev --split --mtls`,
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
	f.BoolVar(
		&o.MTLS,
		"mtls",
		false,
		"with --split: TLS with certificates on both sides between all processes and servers",
	)
	f.StringVar(&o.Transport, "transport", "",
		"how services call each other: inprocess (default) or nats; with --split always nats")
	f.StringVar(&o.LogFile, "log-file", "",
		"where log lines go; default: souk.log in the data directory; - for standard error")
	cmd.AddCommand(oidcCommand(data))
	return cmd
}

func oidcCommand(data *dataFlag) *cobra.Command {
	var o dev.OIDCOptions
	cmd := &cobra.Command{
		Use:   "oidc",
		Short: "Run the OpenID provider of souk dev alone, for development in containers",
		Long: `Run the OpenID provider of souk dev alone, for development in containers. Anyone can sign in there as any user,
without a password: never use it for a marketplace with real customers.

Its users and its signing key are in --data-dir. With the secret of --secret-file as bearer token, POST /dev/token
returns an access token for {"email": "ana@example.com", "roles": ["customer"]}.

It answers requests for localhost and loopback addresses only. So a browser, and the auth service, reach it by the same
loopback address: publish its port on loopback, and let the auth service share its network namespace.`,
		Example: `  souk dev oidc --secret-file token.txt
  souk dev oidc --listen :8090 --issuer http://127.0.0.1:8090 --data-dir /data --secret-file /run/secrets/oidc`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.DataDir = data.dir
			return dev.RunOIDC(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8090", "address to listen on")
	f.StringVar(
		&o.Issuer,
		"issuer",
		"http://127.0.0.1:8090",
		"URL at which browsers and services reach it, on loopback",
	)
	f.StringVar(&o.SecretFile, "secret-file", "", "file with the secret of POST /dev/token (required)")
	return cmd
}
