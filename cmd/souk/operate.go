package main

import (
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"souk/apps/natsauth"
	"souk/cmd/souk/internal/operate"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/permission"
)

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
		Use:   "token --email EMAIL [--role ROLE] [--shop HANDLE]",
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
			if !slices.Contains(permission.Roles(), role) {
				return fmt.Errorf("--role is one of %s, not %q", strings.Join(permission.Roles(), ", "), role)
			}
			roles := []string{permission.RoleCustomer, role}
			if role == permission.RoleCustomer {
				roles = roles[:1]
			}
			if shop != "" && role != permission.RoleSeller && role != permission.RoleOperator {
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
	cmd.Flags().StringVar(&role, "role", "customer", strings.Join(permission.Roles(), ", "))
	cmd.Flags().StringVar(&shop, "shop", "", "handle of a shop that the user becomes an owner of")
	return cmd
}
