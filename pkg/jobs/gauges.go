package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"souk/pkg/metric"
	"souk/pkg/postgres"
)

// countInterval is how often a runner counts the jobs of its database.
const countInterval = 15 * time.Second

// gauges show the jobs of a database. Each runner reports all: take the maximum.
type gauges struct {
	jobs   *prometheus.GaugeVec
	paused *prometheus.GaugeVec
}

func newGauges(r prometheus.Registerer) (*gauges, error) {
	jobs, err := metric.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "job_count",
		Help: "Jobs in the database: available, scheduled, running, retryable (failed, tried again), discarded (last week).",
	}, []string{"kind", "queue", "state"}))
	if err != nil {
		return nil, err
	}
	paused, err := metric.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "job_queue_paused", Help: "1 if an operator has paused the queue.",
	}, []string{"queue"}))
	return &gauges{jobs: jobs, paused: paused}, err
}

// Completed jobs, which are many, are not counted: the states that are have an index.
const (
	sqlCount = `
select kind, queue, state::text, count(*)::float8 from river_job
where state in ('available', 'scheduled', 'pending', 'running', 'retryable', 'discarded') group by kind, queue, state`
	sqlQueues = `select name, (paused_at is not null)::int::float8 from river_queue`
)

// count sets the gauges.
//
// Errors: those of [postgres.Err].
func (g *gauges) count(ctx context.Context, db postgres.Querier) error {
	type jobs struct {
		Kind, Queue, State string
		N                  float64
	}
	rows, err := db.Query(ctx, sqlCount)
	if err != nil {
		return postgres.Err(err)
	}
	counted, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobs])
	if err != nil {
		return postgres.Err(err)
	}
	type queue struct {
		Name   string
		Paused float64
	}
	if rows, err = db.Query(ctx, sqlQueues); err != nil {
		return postgres.Err(err)
	}
	queues, err := pgx.CollectRows(rows, pgx.RowToStructByPos[queue])
	if err != nil {
		return postgres.Err(err)
	}
	g.jobs.Reset()
	for _, j := range counted {
		g.jobs.WithLabelValues(j.Kind, j.Queue, j.State).Set(j.N)
	}
	for _, q := range queues {
		g.paused.WithLabelValues(q.Name).Set(q.Paused)
	}
	return nil
}
