package operate

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

	"souk/pkg/errs"
	"souk/pkg/saga"
)

// ListSagas prints the newest sagas of all services.
func (s *Souk) ListSagas(ctx context.Context, out io.Writer, f saga.Filter) error {
	pools, closeAll, err := s.sagaPools(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	var all []saga.Info
	for _, pool := range pools {
		list, err := saga.List(ctx, pool, f)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b saga.Info) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return writeSagas(out, all[:min(len(all), f.Limit)], time.Now())
}

// ShowSaga prints a saga with the history of its steps.
//
// Errors: not_found.
func (s *Souk) ShowSaga(ctx context.Context, out io.Writer, id string) error {
	pools, closeAll, err := s.sagaPools(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	found, _, err := findSaga(ctx, pools, id)
	if err != nil {
		return err
	}
	return writeSaga(out, found, time.Now())
}

// ResumeSaga lets a parked saga go on where it was parked.
//
// Errors: not_found, and those of [saga.Resume].
func (s *Souk) ResumeSaga(ctx context.Context, out io.Writer, id string) error {
	pools, closeAll, err := s.sagaPools(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	found, pool, err := findSaga(ctx, pools, id)
	if err != nil {
		return err
	}
	if err := saga.Resume(ctx, pool, found.ID); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s goes on as %s; souk saga show %s tells how\n", found.ID, found.ParkedFrom, found.ID)
	return nil
}

func (s *Souk) sagaPools(ctx context.Context) (map[string]*pgxpool.Pool, func(), error) {
	return s.openAll(ctx, s.servicesWith(hasSagas))
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
	return saga.History{}, nil, errs.New(errs.NotFound,
		"there is no saga %q: souk saga ls lists them (a checkout's is named as its order)", id)
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
