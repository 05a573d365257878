package main

import (
	"errors"
	"fmt"
	"net/mail"
	"os"
	"time"

	"github.com/spf13/cobra"

	"souk/apps/natsauth"
	"souk/cmd/souk/internal/operate"
	"souk/cmd/souk/internal/settings"
)

func verifyCommand(data *dataFlag) *cobra.Command {
	var file configFlag
	var o operate.VerifyOptions
	var every time.Duration
	var metrics string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants over all databases",
		Long: `Check what must hold over all databases: stock is never oversold, reserved pieces are those of open reservations,
every confirmed order is paid once and in full, every captured payment has an order, cancelled orders keep neither
money nor stock, totals add up, the catalogue shows what reviews add up to, the sandbox provider's ledger sums to zero
and agrees with our payments, no saga is stuck, no event waits.

It only reads, and may run beside a busy marketplace: what differs between databases is looked at again after
--settle, and counts when no saga works on its order and nothing of it moved.

With --every it checks again and again until it is stopped, and serves the outcome as metrics for Prometheus on
--metrics. Run one such process for a marketplace: two would only do the work twice.

Exit status: 0 when all holds, 1 when an invariant is broken or can't be checked. A WARNING breaks none.`,
		Example: `  souk verify
  souk verify --every 15m --metrics 127.0.0.1:9464 --config souk.yaml
  souk verify --json | jq '.checks[] | select(.wrong > 0)'
  souk verify --config souk.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Settle < 0 {
				return fmt.Errorf("--settle is a duration from 0 on, such as 2s, not %s", o.Settle)
			}
			if every < 0 || (every > 0) != (metrics != "") {
				return errors.New("--every and --metrics go together, such as --every 15m --metrics 127.0.0.1:9464")
			}
			if every > 0 && o.JSON {
				return errors.New("--json prints one run, --every serves metrics of many: leave out one of them")
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			o.Warnings = cmd.ErrOrStderr()
			if every > 0 {
				return s.Watch(cmd.Context(), operate.WatchOptions{
					VerifyOptions: o, Every: every, Addr: metrics,
					OnListen: func(addr string) { fmt.Fprintf(o.Warnings, "metrics on http://%s/metrics\n", addr) },
				})
			}
			return s.Verify(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&every, "every", 0, "check again after this time, and serve metrics on --metrics")
	cmd.Flags().StringVar(&metrics, "metrics", "", "address on which --every serves /metrics, host:port")
	cmd.Flags().DurationVar(&o.Settle, "settle", 2*time.Second,
		"how long what differs between databases may take to become the same")
	file.register(cmd.Flags())
	return cmd
}

func servicesCommand(data *dataFlag) *cobra.Command {
	var file configFlag
	var methods, permissions bool
	cmd := &cobra.Command{
		Use:   "services",
		Short: "Show which services run where, and how their calls go",
		Long: `Show which services run where, and how many calls they had, how many of them ended with an error (refusals count as
such), and how long one took on average, since their start.

Services that talk over NATS are asked there; those of one process are seen through souk dev.

With --permissions, show instead what each service may do on NATS. That follows from the contracts; no souk is asked.`,
		Example: "  souk services\n  souk services --methods\n  souk services --permissions\n" +
			"  souk services --config souk.yaml",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if permissions {
				return operate.Permissions(cmd.OutOrStdout())
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.Services(cmd.Context(), cmd.OutOrStdout(), methods)
		},
	}
	cmd.Flags().BoolVar(&methods, "methods", false, "show each method")
	cmd.Flags().BoolVar(&permissions, "permissions", false, "show what each service may do on NATS")
	file.register(cmd.Flags())
	return cmd
}

func natsauthCommand() *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "natsauth",
		Short: "Print the part of a NATS server's configuration that makes it ask the natsauth service",
		Long: `Print the part of a NATS server's configuration that makes it ask the natsauth service who may connect, and what a
connection may do. It holds a password.`,
		Example: "  souk natsauth --config souk.yaml > auth.conf",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tree, err := settings.Load(file.path, os.Environ())
			if err != nil {
				return err
			}
			text, err := natsauth.ServerConfig(tree)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	file.register(cmd.Flags())
	return cmd
}

func doctorCommand(data *dataFlag) *cobra.Command {
	var file configFlag
	var httpAddr string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine and the running souk, and say what to do",
		Long: `Check what souk dev needs of this machine (PostgreSQL, Redis, data directory, port), and the souk that runs:
databases and their schemas, Redis, JetStream's streams, events that wait, parked sagas, dead letters, clocks. With
--config it checks the souk of that configuration alone.

Exit status: 0 when all is well, 1 when something is wrong.`,
		Example: "  souk doctor\n  souk doctor --data-dir /srv/souk --http 127.0.0.1:9090\n  souk doctor --config souk.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return operate.Doctor(cmd.Context(), cmd.OutOrStdout(), data.source(&file), httpAddr)
		},
	}
	cmd.Flags().StringVar(&httpAddr, "http", "127.0.0.1:8080", "address on which souk dev is to listen")
	file.register(cmd.Flags())
	return cmd
}

func migrateCommand(data *dataFlag) *cobra.Command {
	var service string
	var file configFlag
	cmd := &cobra.Command{
		Use:       "migrate up|down|status",
		Short:     "Bring the databases' schemas up to date, take back the last migration, or show where they stand",
		Example:   "  souk migrate up --config souk.yaml\n  souk migrate down --service order --config souk.yaml",
		Args:      oneOf,
		ValidArgs: []string{"up", "down", "status"},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			if args[0] == "down" && service == "" {
				return fmt.Errorf("down takes back one service's last migration: name it with --service")
			}
			return s.Migrate(cmd.Context(), cmd.OutOrStdout(), args[0], service)
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "one service; default: all that have a database")
	file.register(cmd.Flags())
	return cmd
}

func tokenCommand(data *dataFlag) *cobra.Command {
	var email, role, shop string
	cmd := &cobra.Command{
		Use:   "token --email EMAIL [--role customer|seller|operator] [--shop HANDLE]",
		Short: "Print a bearer token of the running souk dev",
		Long: `Print a bearer token from the OpenID provider of the running souk dev. The user is created on first use. With
--shop the user becomes an owner of that shop, which is created if it is missing. The token stands alone on standard output.`,
		Example: `  TOKEN=$(souk token --email ana@example.com)
  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/v1/me
  souk token --email joao@example.com --role seller --shop trilha-norte`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := mail.ParseAddress(email); err != nil {
				return fmt.Errorf("--email %q is not an e-mail address", email)
			}
			roles := map[string][]string{
				"customer": {"customer"}, "seller": {"customer", "seller"}, "operator": {"customer", "operator"},
			}[role]
			if roles == nil {
				return fmt.Errorf("--role is customer, seller or operator, not %q", role)
			}
			if shop != "" && role == "customer" {
				return fmt.Errorf("--shop goes with --role seller or operator")
			}
			state, err := data.running()
			if err != nil {
				return err
			}
			token, err := operate.Token(cmd.Context(), state, email, roles, shop)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "the user's e-mail address (required)")
	cmd.Flags().StringVar(&role, "role", "customer", "customer, seller or operator")
	cmd.Flags().StringVar(&shop, "shop", "", "handle of a shop that the user becomes an owner of")
	return cmd
}
