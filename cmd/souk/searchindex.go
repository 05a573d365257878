package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"souk/apps/product"
)

func searchIndexCommand(dev *devFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "search",
		Short:   "Rebuild the search's read model",
		Example: "  souk search rebuild",
	}
	var file configFlag
	rebuild := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the search's read model anew from the catalogue",
		Long: `Make the search's read model anew from the catalogue: one row a product, with all that lists and searches need. It
may run beside a busy marketplace. Changes keep the read model current by themselves; this is for after a change of
how products are found.`,
		Example: "  souk search rebuild\n  souk search rebuild --config souk.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := reachOf(dev, &file)
			if err != nil {
				return err
			}
			pool, err := r.open(cmd.Context(), product.Module.Name)
			if err != nil {
				return err
			}
			defer pool.Close()
			began := time.Now()
			n, err := product.Rebuild(cmd.Context(), pool)
			if err != nil {
				return fmt.Errorf("after %d products: %w", n, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "rebuilt %d products in %s\n", n, time.Since(began).Round(time.Millisecond))
			return nil
		},
	}
	file.register(rebuild)
	return group(cmd, rebuild)
}
