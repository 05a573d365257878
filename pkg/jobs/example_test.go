package jobs_test

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"souk/pkg/jobs"
)

type sweep struct{}

func (sweep) Kind() string { return "sweep" }

type sweepWorker struct{ river.WorkerDefaults[sweep] }

func (*sweepWorker) Work(context.Context, *river.Job[sweep]) error { return nil }

func ExampleNew() {
	workers := river.NewWorkers()
	river.AddWorker(workers, &sweepWorker{})
	start := func(ctx context.Context, pool *pgxpool.Pool) error {
		runner, err := jobs.New(pool, jobs.Options{
			Workers:  workers,
			Periodic: []*river.PeriodicJob{jobs.Every(time.Minute, sweep{})},
		})
		if err != nil {
			return err
		}
		return runner.Run(ctx) // until ctx ends
	}
	_ = start
	// Output:
}
