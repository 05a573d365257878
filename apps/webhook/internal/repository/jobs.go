package repository

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"souk/pkg/clock"
	"souk/pkg/errs"
)

// Queue is the queue of deliveries.
const Queue = "webhook"

const (
	// maxAttempts is how often a job runs whose process dies, or which cannot read or write its delivery. Attempts at a
	// delivery are no attempts at its job, which is snoozed in between.
	maxAttempts = 1000
	// maxRetryDelay is the longest time between them.
	maxRetryDelay = time.Minute
)

// deliveryJob makes the attempts of one round of a delivery. ID is "{delivery}/{round}".
type deliveryJob struct {
	ID string `json:"id"`
}

// Kind names the job.
func (deliveryJob) Kind() string { return "webhook_delivery" }

// Deliver makes an attempt at a round of a delivery and returns when the next one is due; 0: none follows.
type Deliver func(ctx context.Context, deliveryID string, round int) (again time.Duration, err error)

// Workers returns the workers of the jobs.
func Workers(c clock.Clock, deliver Deliver) *river.Workers {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{clock: c, deliver: deliver})
	return workers
}

type worker struct {
	river.WorkerDefaults[deliveryJob]
	clock   clock.Clock
	deliver Deliver
}

// Work makes an attempt.
func (w *worker) Work(ctx context.Context, job *river.Job[deliveryJob]) error {
	deliveryID, number, _ := strings.Cut(job.Args.ID, "/")
	round, err := strconv.Atoi(number)
	if err != nil {
		return river.JobCancel(errs.Wrap(err, errs.Internal, "the job %d has no delivery", job.ID))
	}
	again, err := w.deliver(ctx, deliveryID, round)
	if err == nil && again > 0 {
		return river.JobSnooze(again)
	}
	return err
}

// NextRetry returns when a job runs again that could not read or write its delivery.
func (w *worker) NextRetry(job *river.Job[deliveryJob]) time.Time {
	return w.clock.Now().Add(min(time.Duration(job.Attempt)*time.Second, maxRetryDelay))
}
