package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"souk/pkg/saga"
)

var sagaStates = []string{
	string(saga.Running), string(saga.Compensating), string(saga.Done), string(saga.Compensated), string(saga.Parked),
}

func sagaCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "saga",
		Short: "List sagas, show what happened to one, resume a parked one",
		Long: `A saga is work over several services that happens all or not at all: a checkout, a cancellation. One that can
neither go on nor be taken back is parked, and waits for somebody to see why.`,
		Example: `  souk saga ls --state parked
  souk saga show ord_0192f0c4
  souk saga resume ord_0192f0c4`,
	}
	return group(cmd, sagaList(data), sagaShow(data), sagaResume(data))
}

func sagaList(data *dataFlag) *cobra.Command {
	var file configFlag
	var f saga.Filter
	var state string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the newest sagas",
		Example: "  souk saga ls\n  souk saga ls --state parked --type checkout --limit 20",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(sagaStates, state) {
				return fmt.Errorf("--state is one of %s, not %q", strings.Join(sagaStates, ", "), state)
			}
			if f.Limit < 1 {
				return fmt.Errorf("--limit is at least 1, not %d", f.Limit)
			}
			f.State = saga.State(state)
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.ListSagas(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only these: "+strings.Join(sagaStates, ", "))
	cmd.Flags().StringVar(&f.Type, "type", "", "only these, e.g. checkout or cancel")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most so many")
	file.register(cmd.Flags())
	return cmd
}

func sagaShow(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a saga with the story of its steps",
		Example: "  souk saga show ord_0192f0c4",
		Args:    oneArg("the ID of a saga"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.ShowSaga(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	file.register(cmd.Flags())
	return cmd
}

func sagaResume(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "resume ID",
		Short: "Let a parked saga go on where it was parked",
		Long: `Let a parked saga go on where it was parked: its service takes it up within seconds. Put right first what it was
parked for; souk saga show tells. A saga that still can't go on is parked again.`,
		Example: "  souk saga resume ord_0192f0c4",
		Args:    oneArg("the ID of a saga"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.ResumeSaga(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	file.register(cmd.Flags())
	return cmd
}
