// Package jobs runs work in the background, in PostgreSQL, by River: now or later, once or by the clock,
// with retries, and inserted in the transaction of what it follows from.
//
// A job is a River worker; what this package adds is souk's migrations, logging, metrics and lifecycle:
//
//	workers := river.NewWorkers()
//	river.AddWorker(workers, &sweepWorker{})
//	runner, err := jobs.New(pool, jobs.Options{
//		Workers:  workers,
//		Periodic: []*river.PeriodicJob{jobs.Every(time.Minute, sweepArgs{})},
//	})
//
// A job may run twice: when its process dies after the work and before the note of it. Its effect must
// be idempotent, or be written in one transaction with river.JobCompleteTx.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/metric"
	"souk/pkg/postgres"
)

// Options describe a runner.
type Options struct {
	// Workers do the work; nil: this process only inserts jobs.
	Workers *river.Workers
	// Periodic jobs are inserted by one of the processes, by the clock. See [Every].
	Periodic []*river.PeriodicJob
	// Concurrency bounds the jobs that run at once in this process. Default: 10.
	Concurrency int
	// Timeout bounds one run of a job. Default: 1 minute.
	Timeout time.Duration
	// StopTimeout is how long running jobs may take to end when Run's context has ended; then theirs
	// end. Default: 10 s.
	StopTimeout time.Duration
	// MaxAttempts is how often a job is tried, with growing pauses, before it is discarded. Default: 25.
	MaxAttempts int
	// Poll is how often the database is asked for jobs of which no notice came. Default: 1 s.
	Poll time.Duration
	// Logger takes River's warnings and failed jobs; nil: none.
	Logger *zap.Logger
	// Metrics takes job_total by job and result, and job_duration_seconds by job; nil: none.
	Metrics prometheus.Registerer
}

// Runner inserts and runs jobs. It is a module.Runnable.
type Runner struct {
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
	works  bool
}

// New returns a runner on a database that has [Migrations]. It fails with errs.Internal when the
// options make no sense.
func New(pool *pgxpool.Pool, o Options) (*Runner, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Concurrency == 0 {
		o.Concurrency = 10
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 10 * time.Second
	}
	m, err := newMiddleware(o.Metrics, o.Logger)
	if err != nil {
		return nil, err
	}
	cfg := &river.Config{
		Workers:           o.Workers,
		JobTimeout:        o.Timeout,
		SoftStopTimeout:   o.StopTimeout,
		MaxAttempts:       o.MaxAttempts,
		FetchPollInterval: o.Poll,
		Logger:            slog.New(handler{o.Logger}),
		Middleware:        []rivertype.Middleware{m},
	}
	if o.Workers != nil {
		cfg.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.Concurrency}}
		cfg.PeriodicJobs = o.Periodic
	}
	client, err := river.NewClient(riverpgxv5.New(pool), cfg)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "jobs: %v", err)
	}
	return &Runner{client: client, pool: pool, works: o.Workers != nil}, nil
}

// Every makes a job periodic: it is inserted every d, and once when a process becomes the one that
// does this. While one of its kind and arguments waits or runs, no second one is inserted.
func Every(d time.Duration, args river.JobArgs) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(d), func() (river.JobArgs, *river.InsertOpts) {
		return args, &river.InsertOpts{UniqueOpts: Once()}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Once makes a job unique by kind and arguments until it is done: a second insert is left out.
func Once() river.UniqueOpts {
	return river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}
}

// Insert adds a job; opts may be nil. It fails with errs.Unavailable.
func (r *Runner) Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error {
	_, err := r.client.Insert(ctx, args, opts)
	return postgres.Err(err)
}

// InsertTx adds a job that exists if and only if tx commits; opts may be nil. It fails with errs.Unavailable.
func (r *Runner) InsertTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts *river.InsertOpts) error {
	_, err := r.client.InsertTx(ctx, tx, args, opts)
	return postgres.Err(err)
}

// Run works until ctx ends, lets running jobs finish, and returns nil. It fails when it cannot begin.
func (r *Runner) Run(ctx context.Context) error {
	if !r.works {
		<-ctx.Done()
		return nil
	}
	// The jobs' own contexts must outlast ctx: they get StopTimeout to finish.
	if err := r.client.Start(context.WithoutCancel(ctx)); err != nil {
		return errs.Wrap(err, errs.Unavailable, "jobs: cannot start")
	}
	<-ctx.Done()
	if err := r.client.Stop(context.WithoutCancel(ctx)); err != nil {
		return errs.Wrap(err, errs.Internal, "jobs: cannot stop")
	}
	return nil
}

// Ready reports whether the database answers. It fails with errs.Unavailable.
func (r *Runner) Ready(ctx context.Context) error { return postgres.Err(r.pool.Ping(ctx)) }

// middleware counts and logs what jobs do.
type middleware struct {
	river.MiddlewareDefaults
	log      *zap.Logger
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMiddleware(r prometheus.Registerer, log *zap.Logger) (*middleware, error) {
	m := &middleware{log: log}
	var err error
	if m.total, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "job_total", Help: "Runs of jobs, by result: done, failed (tried again), discarded, cancelled, snoozed."}, []string{"job", "result"})); err != nil {
		return nil, err
	}
	if m.duration, err = metric.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "job_duration_seconds", Help: "Time that a run of a job took.", Buckets: metric.DurationBuckets()}, []string{"job"})); err != nil {
		return nil, err
	}
	return m, nil
}

// Work is called around each run.
func (m *middleware) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	start, result := time.Now(), "panic"
	defer func() {
		m.duration.WithLabelValues(job.Kind).Observe(time.Since(start).Seconds())
		m.total.WithLabelValues(job.Kind, result).Inc()
	}()
	err := inner(ctx)
	var cancelled *rivertype.JobCancelError
	var snoozed *rivertype.JobSnoozeError
	switch {
	case err == nil:
		result = "done"
		return nil
	case errors.As(err, &snoozed):
		result = "snoozed"
		return err
	case errors.As(err, &cancelled):
		result = "cancelled"
	case job.Attempt >= job.MaxAttempts:
		result = "discarded"
	default:
		result = "failed"
	}
	m.log.Warn("job failed", zap.String("job", job.Kind), zap.Int64("job_id", job.ID), zap.Int("attempt", job.Attempt),
		zap.String("result", result), zap.Error(err))
	return err
}
