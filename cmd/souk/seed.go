package main

import (
	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/dev"
)

func seedCommand(data *dataFlag) *cobra.Command {
	var target apiFlags
	cmd := &cobra.Command{
		Use:   "seed",
		Short: "Create the demo shops and their products in a souk for development or staging",
		Long: `Create the demo shops and their products in a souk for development or staging, over its API. Shops
that exist stay as they are, so a second run changes nothing.

It is refused unless the gateway says that it is for development or staging (gateway.environment): without the
setting, a souk is production.`,
		Example: "  souk seed\n  souk seed --url https://staging.shop.example --token \"$TOKEN\"",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := target.client(cmd.Context(), data)
			if err != nil {
				return err
			}
			return dev.Seed(cmd.Context(), client, cmd.OutOrStdout())
		},
	}
	target.register(cmd)
	return cmd
}
