package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/settings"
)

func configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "config",
		Short:   "Check, show and split configurations",
		Long:    `Check, show and split configurations. docs/configuration.md describes the settings.`,
		Example: "  souk config check --config souk.yaml",
	}, configCheck(), configShow(), configSplit())
}

func configCheck() *cobra.Command {
	var target string
	var file configFlag
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration as souk run does, and start nothing",
		Long: `Check the configuration of the services named, as souk run does, and start nothing. Secrets are read from
where their references lead, and not shown.`,
		Example: "  souk config check --config order.yaml --target=order",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selected, err := selectModules(target)
			if err != nil {
				return err
			}
			tree, err := settings.LoadFor(file.path, os.Environ(), selected)
			if err != nil {
				return err
			}
			tree.Secrets().Close()
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the configuration of %s is right\n", target)
			return err
		},
	}
	cmd.Flags().StringVar(&target, "target", "all", "services: all, or names with commas")
	file.register(cmd.Flags())
	return cmd
}

func configShow() *cobra.Command {
	var target string
	var file configFlag
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print all settings, with defaults and without secrets",
		Long: `Print the settings of the services named as YAML: from the file, the environment and the defaults. Of a secret
it prints the reference, or [redacted].`,
		Example: "  souk config show --config souk.yaml --target=order",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selected, err := selectModules(target)
			if err != nil {
				return err
			}
			tree, err := settings.Load(file.path, os.Environ())
			if err != nil {
				return err
			}
			return settings.Show(tree, selected, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&target, "target", "all", "services: all, or names with commas")
	file.register(cmd.Flags())
	return cmd
}

func configSplit() *cobra.Command {
	var file configFlag
	var o settings.SplitOptions
	cmd := &cobra.Command{
		Use:   "split --out DIR",
		Short: "Write a configuration for each service, with its own secrets only",
		Long: `Write a configuration for each service from one of all services: what the service needs, and what differs from
the defaults. operator.yaml is for the commands of operators and for jobs such as souk migrate. References to secrets stay
as they are. If all services share identity.seed, each gets a key of its own, which follows from the seed.

With --secrets-dir, each other secret goes into a file of its own with mode 0600, and the configurations refer to it.`,
		Example: `  souk config split --config souk.yaml --out split
  souk config split --config souk.yaml --out split --secrets-dir split/secrets --secrets-path /run/secrets`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tree, err := settings.Load(file.path, os.Environ())
			if err != nil {
				return err
			}
			defer tree.Secrets().Close()
			return settings.Split(tree, modules(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.Out, "out", "", "folder to write to")
	cmd.Flags().StringVar(&o.Secrets, "secrets-dir", "", "folder for files with secrets")
	cmd.Flags().StringVar(&o.SecretsPath, "secrets-path", "", "where processes see that folder; default: where it is")
	_ = cmd.MarkFlagRequired("out") // the flag was just defined
	file.register(cmd.Flags())
	return cmd
}
