// Package jobs runs background jobs from a queue in PostgreSQL, with River. A job runs at once, later or
// periodically, is retried, and can be inserted in the transaction that causes it.
//
// A River worker does the work. This package adds souk's migrations, logging, metrics and lifecycle:
//
//	workers := river.NewWorkers()
//	river.AddWorker(workers, &sweepWorker{})
//	runner, err := jobs.New(pool, jobs.Options{
//		Workers:   workers,
//		Retention: []jobs.Retention{{Name: "forget_mails", Keep: 90 * 24 * time.Hour, Forget: store.Forget}},
//	})
//
// # Jobs or chores
//
// Use a job for one piece of work that must happen: a delivery, a mail at a later time. It has a row, attempts, and an
// operator who can see it and run it again (souk jobs). The retention of a service with jobs is one, too. Use package
// chore for a pass over whatever is due that is repeated every second or so, such as a relay or a sweep of
// reservations: a row for each pass would cost more than the pass, and the next one makes up for one that failed. A
// service without jobs deletes its old rows in a chore as well (chore.Forget): River's own work would cost it more than
// that.
//
// A job runs again if its process dies after the work and before the job is marked as completed. So its effect
// must be idempotent, or be written in one transaction with river.JobCompleteTx.
package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/metric"
	"souk/pkg/postgres"
)

// Options configure a runner.
type Options struct {
	// Workers run the jobs; nil: this process only inserts jobs.
	Workers *river.Workers
	// Retention is what is deleted once it is old; it needs Workers.
	Retention []Retention
	// Queues are the queues that this process works on, each with the most jobs of it that run at the same time. A job
	// without a queue is in river.QueueDefault. Empty: that queue alone, with 10 jobs.
	Queues map[string]int
	// Timeout is the timeout of one attempt at a job; 0: 1 min.
	Timeout time.Duration
	// StopTimeout is how long running jobs may continue after Run's context has ended. Then their contexts
	// end. 0: 10 s.
	StopTimeout time.Duration
	// MaxAttempts is the number of attempts, with backoff, before a job is discarded; 0: 25.
	MaxAttempts int
	// Poll is the interval at which each queue is polled for jobs without a notification, such as those that were
	// inserted to run later; 0: 1 s.
	Poll time.Duration
	// Cooldown is the shortest time between two looks for jobs; 0: 100 ms. A queue of short jobs needs less: it takes
	// no more jobs in that time than run at the same time.
	Cooldown time.Duration
	// RescueAfter is how long a job may have run until it counts as one of a process that died, and is retried. It must
	// be longer than Timeout; 0: 1 h.
	RescueAfter time.Duration
	// Clock says when jobs are due; nil: the clocks of the system and of the database.
	Clock clock.Clock
	// Logger takes River's warnings and the failures of jobs; nil: no log.
	Logger *zap.Logger
	// Metrics registers job_total by kind and result, job_duration_seconds by kind, job_count by kind, queue and state,
	// and job_queue_paused by queue; nil: no metrics.
	Metrics prometheus.Registerer
}

// Runner inserts and runs jobs. It is a module.Runnable.
type Runner struct {
	client *river.Client[pgx.Tx]
	pool   *pgxpool.Pool
	works  bool
	gauges *gauges
	log    *zap.Logger
}

// New returns a runner on a database that has [Migrations].
//
// Errors: internal (invalid options), and the errors of registering metrics.
func New(pool *pgxpool.Pool, o Options) (*Runner, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if len(o.Queues) == 0 {
		o.Queues = map[string]int{river.QueueDefault: 10}
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 10 * time.Second
	}
	m, err := newMiddleware(o.Metrics, o.Logger)
	if err != nil {
		return nil, err
	}
	counts, err := newGauges(o.Metrics)
	if err != nil {
		return nil, err
	}
	cfg := &river.Config{
		Workers:           o.Workers,
		JobTimeout:        o.Timeout,
		SoftStopTimeout:   o.StopTimeout,
		MaxAttempts:       o.MaxAttempts,
		FetchPollInterval: o.Poll,
		FetchCooldown:     o.Cooldown,
		Logger:            Logger(o.Logger),
		Middleware:        []rivertype.Middleware{m},

		RescueStuckJobsAfter: o.RescueAfter,

		PollOnly: postgres.Pooled(pool), // a pooler passes no notifications on
	}
	if _, system := o.Clock.(clock.System); !system {
		cfg.Test.Time = manual{o.Clock}
	}
	if o.Workers != nil {
		cfg.Queues = map[string]river.QueueConfig{}
		for name, most := range o.Queues {
			cfg.Queues[name] = river.QueueConfig{MaxWorkers: most}
		}
		for _, r := range o.Retention {
			cfg.PeriodicJobs = append(cfg.PeriodicJobs, r.periodic(o.Workers, o.Clock))
		}
	}
	client, err := river.NewClient(riverpgxv5.New(pool), cfg)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "jobs: %v", err)
	}
	return &Runner{client: client, pool: pool, works: o.Workers != nil, gauges: counts, log: o.Logger}, nil
}

// Insert inserts a job; opts may be nil.
//
// Errors: unavailable.
func (r *Runner) Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error {
	_, err := r.client.Insert(ctx, args, opts)
	return postgres.Err(err)
}

// InsertTx inserts a job in tx, so that it exists if and only if tx commits; opts may be nil.
//
// Errors: unavailable.
func (r *Runner) InsertTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts *river.InsertOpts) error {
	_, err := r.client.InsertTx(ctx, tx, args, opts)
	return postgres.Err(err)
}

// Run runs jobs until ctx ends. Then it waits for running jobs, up to StopTimeout, and returns nil.
//
// Errors: unavailable (Run cannot start), internal (Run cannot stop the jobs).
func (r *Runner) Run(ctx context.Context) error {
	if !r.works {
		<-ctx.Done()
		return nil
	}
	// The jobs' contexts must not end with ctx: running jobs may continue for StopTimeout.
	if err := r.client.Start(context.WithoutCancel(ctx)); err != nil {
		return errs.Wrap(err, errs.Unavailable, "jobs: cannot start")
	}
	_ = chore.Chore{ // it returns nil, when ctx ends
		Name: "count jobs", Every: countInterval, Logger: r.log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return 0, r.gauges.count(ctx, r.pool) },
	}.Run(ctx)
	if err := r.client.Stop(context.WithoutCancel(ctx)); err != nil {
		return errs.Wrap(err, errs.Internal, "jobs: cannot stop")
	}
	return nil
}

// Ready returns nil if the database answers.
//
// Errors: unavailable.
func (r *Runner) Ready(ctx context.Context) error { return postgres.Err(r.pool.Ping(ctx)) }

// manual is a clock that is not the system's, as River uses it.
type manual struct{ clock.Clock }

// NowOrNil returns the time, which replaces the database's.
func (m manual) NowOrNil() *time.Time {
	now := m.Now()
	return &now
}

// middleware measures the runs of jobs and logs failures.
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
		Name: "job_total",
		Help: "Runs of jobs, by result: done, failed (tried again), discarded, cancelled, snoozed.",
	}, []string{"kind", "result"})); err != nil {
		return nil, err
	}
	if m.duration, err = metric.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "job_duration_seconds",
		Help:    "Time that a run of a job took.",
		Buckets: metric.DurationBuckets(),
	}, []string{"kind"})); err != nil {
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
