package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"souk/pkg/clock"
)

const (
	forgetEvery = time.Hour
	// forgetBatch is the most rows that one statement deletes.
	forgetBatch = 1000
)

// Retention deletes a service's old rows: one job an hour, by one of the service's processes.
type Retention struct {
	// Name is the kind of its jobs, such as "forget_notices".
	Name string
	// Queue is the queue of its jobs, one of [Options.Queues]; "": river.QueueDefault.
	Queue string
	// Keep is how long rows are kept.
	Keep time.Duration
	// Forget deletes at most most rows that are older than before, and returns their number.
	Forget func(ctx context.Context, before time.Time, most int) (int, error)
}

// forget is the argument of a retention's jobs.
type forget struct{ name string }

// Kind names the job.
func (f forget) Kind() string { return f.name }

type forgetWorker struct {
	river.WorkerDefaults[forget]
	clock clock.Clock
	r     Retention
}

// Work deletes in batches until no old row is left. An attempt that reaches its timeout has committed its batches, and
// the next attempt goes on.
func (w *forgetWorker) Work(ctx context.Context, _ *river.Job[forget]) error {
	before := w.clock.Now().Add(-w.r.Keep)
	for {
		n, err := w.r.Forget(ctx, before, forgetBatch)
		if err != nil || n < forgetBatch {
			return err
		}
	}
}

// periodic adds the worker of a retention to workers, and returns its periodic job. While one of its jobs waits or
// runs, no second one is inserted.
func (r Retention) periodic(workers *river.Workers, c clock.Clock) *river.PeriodicJob {
	args := forget{r.Name}
	river.AddWorkerArgs(workers, args, &forgetWorker{clock: c, r: r})
	opts := river.InsertOpts{Queue: r.Queue, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
	return river.NewPeriodicJob(river.PeriodicInterval(forgetEvery),
		func() (river.JobArgs, *river.InsertOpts) { return args, &opts }, &river.PeriodicJobOpts{RunOnStart: true})
}
