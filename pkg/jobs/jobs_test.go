package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/clock"
	"souk/pkg/jobs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type mail struct {
	ID string `json:"id,omitempty"`
	To string `json:"to"`
}

func (mail) Kind() string { return "mail" }

type mailWorker struct {
	river.WorkerDefaults[mail]
	work func(ctx context.Context, job *river.Job[mail]) error
}

func (w *mailWorker) Work(ctx context.Context, job *river.Job[mail]) error { return w.work(ctx, job) }

// NextRetry makes retries immediate.
func (w *mailWorker) NextRetry(*river.Job[mail]) time.Time { return time.Now() }

func setup(
	t *testing.T, o jobs.Options, work func(context.Context, *river.Job[mail]) error,
) (*jobs.Runner, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t, jobs.Migrations())
	o.Workers = river.NewWorkers()
	river.AddWorker(o.Workers, &mailWorker{work: work})
	o.Poll = 100 * time.Millisecond
	r, err := jobs.New(pool, o)
	require.NoError(t, err)
	return r, pool
}

func run(t *testing.T, r *jobs.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := waittest.Receive(t, done); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestJobExistsOnlyIfItsTransactionCommits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	got := make(chan string, 10)
	r, pool := setup(t, jobs.Options{},
		func(_ context.Context, job *river.Job[mail]) error { got <- job.Args.To; return nil })
	run(t, r)
	require.NoError(t, r.Ready(ctx))
	require.Error(t, postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		require.NoError(t, r.InsertTx(ctx, tx, mail{To: "rolled back"}, nil))
		return errors.New("roll back")
	}))
	require.NoError(t,
		postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return r.InsertTx(ctx, tx, mail{To: "committed"}, nil) }))
	require.Equal(t, "committed", waittest.Receive(t, got))
}

// A statement that changes rows inserts their jobs: each is worked once, at once or when it is due.
func TestStatementInsertsJobsOfChangedRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	now := clock.NewManual(time.Now())
	got := make(chan string, 10)
	r, pool := setup(t, jobs.Options{Clock: now, Queues: map[string]int{"mails": 1}},
		func(_ context.Context, job *river.Job[mail]) error { got <- job.Args.ID; return nil })
	run(t, r)
	sql := jobs.WithJobs(`changed as (select * from (values
		('now', 'mail', 'mails', $1::timestamptz, $1::timestamptz), ('later', 'mail', 'mails', $1 + interval '1 h', $1))
		as c (id, job, queue, due, at))`, 5)
	_, err := pool.Exec(ctx, sql, now.Now())
	require.NoError(t, err)
	require.Equal(t, "now", waittest.Receive(t, got))
	var due time.Time
	var most int
	require.NoError(t, pool.QueryRow(ctx, `select scheduled_at, max_attempts from river_job where state = 'available'`).
		Scan(&due, &most))
	require.WithinDuration(t, now.Now().Add(time.Hour), due, time.Millisecond)
	require.Equal(t, 5, most)
	now.Advance(time.Hour)
	require.Equal(t, "later", waittest.Receive(t, got))
}

func TestFailedJobIsRetried(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	got := make(chan int, 10)
	r, _ := setup(
		t,
		jobs.Options{Metrics: reg, Logger: zap.New(core)},
		func(_ context.Context, job *river.Job[mail]) error {
			got <- job.Attempt
			if job.Attempt < 3 {
				return errors.New("not yet")
			}
			return nil
		},
	)
	stop := run(t, r)
	require.NoError(t, r.Insert(ctx, mail{To: "a"}, nil))
	for want := 1; want <= 3; want++ {
		require.Equal(t, want, waittest.Receive(t, got))
	}
	stop()
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP job_total Runs of jobs, by result: done, failed (tried again), discarded, cancelled, snoozed.
# TYPE job_total counter
job_total{kind="mail",result="done"} 1
job_total{kind="mail",result="failed"} 2
`), "job_total"))
	require.Equal(t, 2, logs.FilterMessage("job failed").Len())
}

func TestRetentionDeletesAllOldRowsInBatches(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var left atomic.Int64
	left.Store(2500)
	befores := make(chan time.Time, 100)
	old := jobs.Retention{
		Name: "forget_mails", Keep: 24 * time.Hour,
		Forget: func(_ context.Context, before time.Time, most int) (int, error) {
			n := min(left.Load(), int64(most))
			left.Add(-n)
			befores <- before
			return int(n), nil
		},
	}
	r, pool := setup(t, jobs.Options{Retention: []jobs.Retention{old}, Clock: clock.NewManual(now)},
		func(context.Context, *river.Job[mail]) error { return nil })
	stop := run(t, r)
	for range 3 { // 1000, 1000, 500
		require.Equal(t, now.Add(-24*time.Hour), waittest.Receive(t, befores))
	}
	waittest.Until(t, func() bool {
		var n int
		err := pool.QueryRow(t.Context(), `select count(*) from river_job where state = 'completed'`).Scan(&n)
		return err == nil && n == 1
	}, "the job has not completed")
	stop()
	require.Zero(t, left.Load())
	kinds, err := jobs.Kinds(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, []string{"forget_mails"}, []string{kinds[0].Kind})
	require.NotNil(t, kinds[0].Last)
}

func TestStopLetsRunningJobsFinish(t *testing.T) {
	t.Parallel()
	started, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r, pool := setup(t, jobs.Options{}, func(ctx context.Context, _ *river.Job[mail]) error {
		close(started)
		select {
		case <-finish:
		case <-time.After(20 * time.Second):
			t.Error("the job was not allowed to finish in time")
		}
		done <- ctx.Err()
		return nil
	})
	stop := run(t, r)
	require.NoError(t, r.Insert(context.Background(), mail{}, nil))
	waittest.Receive(t, started)
	go close(finish)
	stop()
	require.NoError(t, waittest.Receive(t, done))
	var state string
	require.NoError(t, pool.QueryRow(context.Background(), `select state::text from river_job`).Scan(&state))
	require.Equal(t, "completed", state)
}

func TestMigrationsGoDownAndUp(t *testing.T) {
	t.Parallel()
	ctx, url, set := context.Background(), pgtest.URL(t, jobs.Migrations()), jobs.Migrations()
	require.NoError(t, migration.Down(ctx, url, set.Name, set.FS))
	require.NoError(t, migration.Up(ctx, url, set.Name, set.FS))
}

func TestInserterNeedsNoWorkers(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, jobs.Migrations())
	r, err := jobs.New(pool, jobs.Options{})
	require.NoError(t, err)
	stop := run(t, r)
	require.NoError(t, r.Insert(context.Background(), mail{}, nil))
	stop()
}
