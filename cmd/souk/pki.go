package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"souk/pkg/devstack/pki"
)

func pkiCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "Make certificates for development",
		Long: `Make certificates for development and tests: a certificate authority in a folder, and certificates of
services and servers in folders below it, with the files that cert-manager writes: tls.crt, tls.key and ca.crt.
revoked.crl lists what is revoked. In production cert-manager, Vault or SPIRE issue the certificates; see
docs/configuration.md.`,
		Example: "  souk pki init && souk pki issue order --service order",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", "pki", "folder of the authority")
	authority := func() pki.PKI { return pki.Open(dir) }
	cmd.AddCommand(pkiInit(authority), pkiIssue(authority), pkiRotate(authority), pkiRevoke(authority))
	return cmd
}

func pkiInit(authority func() pki.PKI) *cobra.Command {
	var domain string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make an authority",
		Example: "  souk pki init --trust-domain souk.test",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return authority().Init(domain) },
	}
	cmd.Flags().StringVar(&domain, "trust-domain", "souk.test", "the part of names that all of an authority's share")
	return cmd
}

func pkiIssue(authority func() pki.PKI) *cobra.Command {
	var names pki.Names
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make a key and a certificate, or replace those of the same name",
		Long: `Make a key and a certificate in the folder NAME, or replace those that it has. Processes that run read the
files again. A service's process needs --service for each service that it runs; the commands of operators are the service operator. A
server needs --host for each name and address under which it is reached. PostgreSQL compares the common name, which is
NAME, with the role.`,
		Example: `  souk pki issue order --service order
  souk pki issue nats --host nats --host 127.0.0.1`,
		Args: oneArg("NAME"),
		RunE: func(_ *cobra.Command, args []string) error { return authority().Issue(args[0], names, life) },
	}
	cmd.Flags().StringSliceVar(&names.Services, "service", nil, "service that the process runs")
	cmd.Flags().StringSliceVar(&names.Hosts, "host", nil, "name or IP address of the server")
	cmd.Flags().DurationVar(&life, "life", pki.Life, "how long the certificate is valid")
	return cmd
}

func pkiRotate(authority func() pki.PKI) *cobra.Command {
	var ca bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Issue all certificates again, with new keys",
		Long: `Issue all certificates again, with new keys, for the same names and as long.

With --ca, make a new authority instead: all sides trust it beside the former one, which it replaces at the next
souk pki rotate. Give the processes a minute in between to read the files.`,
		Example: "  souk pki rotate\n  souk pki rotate --ca && sleep 60 && souk pki rotate",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return authority().Rotate(ca) },
	}
	cmd.Flags().BoolVar(&ca, "ca", false, "make a new authority")
	return cmd
}

func pkiRevoke(authority func() pki.PKI) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke all certificates that were issued under a name",
		Long: `Revoke all certificates that were issued under a name. Servers refuse them, and natsauth ends their
connections to NATS within a minute. A certificate that is issued afterwards is valid.`,
		Example: "  souk pki revoke order",
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := authority().Revoke(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked %s\n", args[0])
			return err
		},
	}
}
