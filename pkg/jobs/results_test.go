package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/jobs"
	"souk/pkg/waittest"
)

// A job ends in other ways than by success: the metric counts each, and only failures are logged.
func TestResultsOfJobsAreCounted(t *testing.T) {
	t.Parallel()
	for result, end := range map[string]struct {
		err      error
		attempts int // 0: as many as River allows
		logged   int
	}{
		"snoozed":   {err: river.JobSnooze(time.Hour)},
		"cancelled": {err: river.JobCancel(errors.New("no such recipient")), logged: 1},
		"discarded": {err: errors.New("refused"), attempts: 1, logged: 1},
	} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewRegistry()
			core, logs := observer.New(zap.WarnLevel)
			worked := make(chan struct{}, 10)
			r, _ := setup(t, jobs.Options{Metrics: reg, Logger: zap.New(core)},
				func(context.Context, *river.Job[mail]) error {
					worked <- struct{}{}
					return end.err
				})
			stop := run(t, r)
			require.NoError(
				t,
				r.Insert(context.Background(), mail{To: "a"}, &river.InsertOpts{MaxAttempts: end.attempts}),
			)
			waittest.Receive(t, worked)
			stop()
			require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP job_total Runs of jobs, by result: done, failed (tried again), discarded, cancelled, snoozed.
# TYPE job_total counter
job_total{kind="mail",result="`+result+`"} 1
`), "job_total"))
			failures := logs.FilterMessage("job failed")
			require.Equal(t, end.logged, failures.Len())
			require.Equal(t, end.logged, failures.FilterField(zap.String("result", result)).Len())
		})
	}
}

func TestJobsInTheDatabaseAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r, pool := setup(t, jobs.Options{Metrics: reg}, func(context.Context, *river.Job[mail]) error { return nil })
	for _, opts := range []river.InsertOpts{
		{ScheduledAt: time.Now().Add(time.Hour)}, {Queue: "left_alone"}, {Queue: "left_alone"},
	} {
		require.NoError(t, r.Insert(t.Context(), mail{}, &opts))
	}
	_, err := pool.Exec(t.Context(), `insert into river_queue (name, created_at, updated_at, paused_at)
		values ('left_alone', now(), now(), now())`)
	require.NoError(t, err)
	stop := run(t, r)
	defer stop()
	waittest.Until(t, func() bool {
		n, err := testutil.GatherAndCount(reg, "job_queue_paused")
		return err == nil && n > 0
	}, "nothing is counted")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP job_count Jobs in the database: available, scheduled, running, retryable (failed, tried again), discarded (last week).
# TYPE job_count gauge
job_count{kind="mail",queue="default",state="scheduled"} 1
job_count{kind="mail",queue="left_alone",state="available"} 2
`), "job_count"))
}
