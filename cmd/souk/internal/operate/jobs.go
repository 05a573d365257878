package operate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"souk/pkg/errs"
	"souk/pkg/jobs"
)

// Jobs prints how many jobs of each kind wait, run and fail.
func (s *Souk) Jobs(ctx context.Context, out io.Writer) error {
	pools, closeAll, err := s.openAll(ctx, s.servicesWith(hasJobs))
	if err != nil {
		return err
	}
	defer closeAll()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tJOB\tQUEUE\tWAITING\tRUNNING\tSCHEDULED\tFAILING\tDISCARDED\tNEXT\tLAST DONE")
	for _, service := range slices.Sorted(maps.Keys(pools)) {
		kinds, err := jobs.Kinds(ctx, pools[service])
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		for _, k := range kinds {
			queue := k.Queue
			if k.Paused {
				queue += " (paused)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", service, k.Kind, queue, k.Waiting,
				k.Running, k.Scheduled, k.Failing, k.Discarded, timeOr(k.Next), timeOr(k.Last))
		}
	}
	return w.Flush()
}

// FailedJobs prints at most n jobs of each service that failed, the latest first.
func (s *Souk) FailedJobs(ctx context.Context, out io.Writer, n int) error {
	pools, closeAll, err := s.openAll(ctx, s.servicesWith(hasJobs))
	if err != nil {
		return err
	}
	defer closeAll()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tJOB\tSTATE\tATTEMPTS\tFAILED AT\tNEXT\tERROR")
	for _, service := range slices.Sorted(maps.Keys(pools)) {
		failures, err := jobs.Failures(ctx, pools[service], n)
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		for _, f := range failures {
			fmt.Fprintf(w, "%s/%d\t%s\t%s\t%d of %d\t%s\t%s\t%s\n", service, f.ID, f.Kind, f.State, f.Attempt,
				f.MaxAttempts, timeOr(&f.At), timeOr(f.Next), f.Error)
		}
	}
	return w.Flush()
}

func timeOr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// RetryJob makes a job run at once. id is its service and number, as FailedJobs prints it.
//
// Errors: invalid_argument, not_found.
func (s *Souk) RetryJob(ctx context.Context, out io.Writer, id string) error {
	service, number, _ := strings.Cut(id, "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !slices.Contains(s.servicesWith(hasJobs), service) {
		return errs.New(
			errs.Invalid,
			"want the ID of a job as souk jobs failed prints it, such as notification/17, not %s",
			id,
		)
	}
	pool, err := s.open(ctx, service)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := jobs.Retry(ctx, pool, n); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s runs at once\n", id)
	return nil
}
