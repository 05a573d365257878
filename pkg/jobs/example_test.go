package jobs_test

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"souk/pkg/jobs"
)

type mailing struct{}

func (mailing) Kind() string { return "mailing" }

type mailingWorker struct{ river.WorkerDefaults[mailing] }

func (*mailingWorker) Work(context.Context, *river.Job[mailing]) error { return nil }

func ExampleNew() {
	workers := river.NewWorkers()
	river.AddWorker(workers, &mailingWorker{})
	start := func(ctx context.Context, pool *pgxpool.Pool) error {
		runner, err := jobs.New(pool, jobs.Options{
			Workers: workers,
		})
		if err != nil {
			return err
		}
		return runner.Run(ctx) // until ctx ends
	}
	_ = start
	// Output:
}
