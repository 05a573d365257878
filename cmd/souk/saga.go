package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"souk/pkg/errs"
	"souk/pkg/saga"
)

var sagaStates = []string{
	string(saga.Running), string(saga.Compensating), string(saga.Done), string(saga.Compensated), string(saga.Parked),
}

func sagaCommand(dev *devFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "saga",
		Short: "List sagas, show what happened to one, resume a parked one",
		Long: `A saga is work over several services that happens all or not at all: a checkout, a cancellation. One that can
neither go on nor be taken back is parked, and waits for somebody to see why.`,
		Example: `  souk saga ls --state parked
  souk saga show ord_0192f0c4
  souk saga resume ord_0192f0c4`,
	}
	return group(cmd, sagaList(dev), sagaShow(dev), sagaResume(dev))
}

func sagaList(dev *devFlags) *cobra.Command {
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
			pools, closeAll, err := sagaPools(cmd.Context(), dev, &file)
			if err != nil {
				return err
			}
			defer closeAll()
			var all []saga.Info
			for _, pool := range pools {
				list, err := saga.List(cmd.Context(), pool, f)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			slices.SortFunc(all, func(a, b saga.Info) int { return b.CreatedAt.Compare(a.CreatedAt) })
			return writeSagas(cmd.OutOrStdout(), all[:min(len(all), f.Limit)], time.Now())
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only these: "+strings.Join(sagaStates, ", "))
	cmd.Flags().StringVar(&f.Type, "type", "", "only these, e.g. checkout or cancel")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most so many")
	file.register(cmd)
	return cmd
}

func sagaPools(ctx context.Context, dev *devFlags, file *configFlag) (map[string]*pgxpool.Pool, func(), error) {
	r, err := reachOf(dev, file)
	if err != nil {
		return nil, nil, err
	}
	return r.openAll(ctx, servicesWith(hasSagas))
}

func writeSagas(out io.Writer, list []saga.Info, now time.Time) error {
	if len(list) == 0 {
		fmt.Fprintln(out, "no sagas")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTYPE\tSTATE\tSTEP\tTRIES\tBEGAN\tLAST ERROR")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
			s.ID, s.Type, s.State, s.Step, s.Attempts, ago(s.CreatedAt, now), cell(s.LastError, 60))
	}
	return w.Flush()
}

// findSaga finds a saga in the databases of all services that run sagas. It also returns the saga's database.
// Errors: not_found.
func findSaga(ctx context.Context, pools map[string]*pgxpool.Pool, id string) (saga.History, *pgxpool.Pool, error) {
	for _, pool := range pools {
		s, err := saga.Show(ctx, pool, id)
		if err == nil {
			return s, pool, nil
		}
		if !errs.Is(err, errs.NotFound) {
			return saga.History{}, nil, err
		}
	}
	return saga.History{}, nil, errs.New(
		errs.NotFound,
		"there is no saga %q: souk saga ls lists them (a checkout's is named as its order)",
		id,
	)
}

func sagaShow(dev *devFlags) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a saga with the story of its steps",
		Example: "  souk saga show ord_0192f0c4",
		Args:    oneArg("the ID of a saga"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pools, closeAll, err := sagaPools(cmd.Context(), dev, &file)
			if err != nil {
				return err
			}
			defer closeAll()
			s, _, err := findSaga(cmd.Context(), pools, args[0])
			if err != nil {
				return err
			}
			return writeSaga(cmd.OutOrStdout(), s, time.Now())
		},
	}
	file.register(cmd)
	return cmd
}

func writeSaga(out io.Writer, s saga.History, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	state := string(s.State)
	if s.ParkedFrom != "" {
		state += " (was " + string(s.ParkedFrom) + ")"
	}
	for _, line := range [][2]string{
		{"id", s.ID},
		{"type", fmt.Sprintf("%s, version %d", s.Type, s.Version)},
		{"state", state},
		{"next step", fmt.Sprint(s.Step)},
		{"began", ago(s.CreatedAt, now)},
		{"ended", ago(s.EndedAt, now)},
		{"deadline", ago(s.Deadline, now)},
		{"next run", ago(s.NextRunAt, now)},
		{"lease", ago(s.LeaseUntil, now)},
		{"owner", cell(s.Owner, 80)},
		{"taken over", fmt.Sprintf("%d times", max(s.Epoch-1, 0))},
		{"tries", fmt.Sprint(s.Attempts)},
		{"outcome", strings.TrimSpace(s.Code + " " + s.Message)},
		{"last error", s.LastError},
		{"input", masked(s.Input)},
		{"results", masked(s.Results)},
	} {
		if line[1] != "" && line[1] != "-" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	}
	if err := w.Flush(); err != nil || len(s.Steps) == 0 {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "N\tWHAT\tSTEP\tSTATE\tTRIES\tOWNER NO.\tTOOK\tERROR")
	for _, t := range s.Steps {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", t.N, t.Kind, t.Name, t.State, t.Attempts, t.Epoch,
			t.FinishedAt.Sub(t.StartedAt).Round(10*time.Microsecond), cell(strings.TrimSpace(t.Code+" "+t.Error), 80))
	}
	return w.Flush()
}

// masked returns JSON on one line with its payment token masked, which an operator does not need.
func masked(raw json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil {
		if _, ok := fields["token"]; ok {
			fields["token"] = json.RawMessage(`"…"`)
			if hidden, err := json.Marshal(fields); err == nil {
				raw = hidden
			}
		}
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

func sagaResume(dev *devFlags) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "resume ID",
		Short: "Let a parked saga go on where it was parked",
		Long: `Let a parked saga go on where it was parked: its service takes it up within seconds. Put right first what it was
parked for; souk saga show tells. A saga that still can't go on is parked again.`,
		Example: "  souk saga resume ord_0192f0c4",
		Args:    oneArg("the ID of a saga"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pools, closeAll, err := sagaPools(cmd.Context(), dev, &file)
			if err != nil {
				return err
			}
			defer closeAll()
			s, pool, err := findSaga(cmd.Context(), pools, args[0])
			if err != nil {
				return err
			}
			if err := saga.Resume(cmd.Context(), pool, s.ID); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s goes on as %s; souk saga show %s tells how\n", s.ID, s.ParkedFrom, s.ID)
			return nil
		},
	}
	file.register(cmd)
	return cmd
}
