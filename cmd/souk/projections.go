package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"souk/apps/product"
)

func projectionsCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "projections",
		Short: "Show read models, and rebuild them",
		Long: `A projection is a read model: what lists, searches and reports show, derived from events or from other tables.
Changes keep it up to date by themselves. It is rebuilt after a change of how it is derived, or when it is wrong.`,
		Example: "  souk projections ls\n  souk projections rebuild product.search",
	}
	rebuild := rebuildCommand(
		data,
		"rebuild NAME",
		"",
		"Derive a projection again, beside the one that serves",
		`Derive a projection again from what it shows, whatever is wrong with it. It may run beside a busy marketplace:
readers see the old rows until the new ones are committed, all at once or one by one, and events that arrive
meanwhile count once.`,
		"  souk projections rebuild product.search\n  souk projections rebuild product.shops --config souk.yaml",
	)
	rebuild.Args = oneArg("a projection, as souk projections ls prints it")
	return group(cmd, projectionsList(data), rebuild)
}

func projectionsList(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Show projections: their rows, their events, and how many of these wait",
		Long: `Show projections: the number of their rows, how many events wait for them, when the last one was handled,
and which events they follow. A projection without events changes together with what it shows.`,
		Example: "  souk projections ls",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.Projections(cmd.Context(), cmd.OutOrStdout())
		},
	}
	file.register(cmd.Flags())
	return cmd
}

// searchCommand and reviewsCommand are the names that two rebuilds had before there was souk projections.
func searchCommand(data *dataFlag) *cobra.Command {
	name := product.Module.Name + "." + product.Search
	cmd := &cobra.Command{
		Use:     "search",
		Short:   "Rebuild the search's read model",
		Example: "  souk search rebuild",
	}
	return group(cmd, rebuildCommand(data, "rebuild", name, "Rebuild what lists and searches show",
		"The same as souk projections rebuild "+name+".",
		"  souk search rebuild\n  souk search rebuild --config souk.yaml"))
}

func reviewsCommand(data *dataFlag) *cobra.Command {
	name := product.Module.Name + "." + product.Ratings
	cmd := &cobra.Command{
		Use:     "reviews",
		Short:   "Compute the ratings of products again",
		Example: "  souk reviews rebuild",
	}
	return group(cmd, rebuildCommand(
		data,
		"rebuild",
		name,
		"Compute the ratings of products and the numbers of votes from the reviews",
		"The same as souk projections rebuild "+name+`. It computes the ratings of products and the numbers of votes from the
reviews and votes, and publishes the ratings, which the catalogue then shows whatever it has. So it also repairs the
ratings after an older backup of a database was restored.`,
		"  souk reviews rebuild\n  souk reviews rebuild --config souk.yaml",
	))
}

// rebuildCommand rebuilds the named projection, or the one that the argument names if name is "".
func rebuildCommand(data *dataFlag, use, name, short, long, example string) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.RebuildProjection(cmd.Context(), cmd.OutOrStdout(), cmp.Or(name, strings.Join(args, "")))
		},
	}
	file.register(cmd.Flags())
	return cmd
}
