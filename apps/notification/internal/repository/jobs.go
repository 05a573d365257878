package repository

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"souk/apps/notification/internal/domain"
	"souk/pkg/clock"
)

// QueueNotice is the queue of notices that are due. Each channel has a queue of its own, so that a provider that is
// slow or away delays no other.
const QueueNotice = "notice"

// maxAttempts is more than a delivery can have: its age ends it before.
const maxAttempts = 1000

type noticeJob struct {
	ID string `json:"id"`
}

// Kind names the job.
func (noticeJob) Kind() string { return "notice" }

type deliveryJob struct {
	ID string `json:"id"`
}

// Kind names the job.
func (deliveryJob) Kind() string { return "delivery" }

// Workers returns the workers of the jobs: notify makes the deliveries of a notice, and deliver sends one. They return
// domain failures.
func Workers(c clock.Clock, notify, deliver func(ctx context.Context, id string) error) *river.Workers {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[noticeJob]{
		clock: c, work: func(ctx context.Context, job noticeJob) error { return notify(ctx, job.ID) },
	})
	river.AddWorker(workers, &worker[deliveryJob]{
		clock: c, work: func(ctx context.Context, job deliveryJob) error { return deliver(ctx, job.ID) },
	})
	return workers
}

type worker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	clock clock.Clock
	work  func(context.Context, T) error
}

// Work runs a job. A failure that is permanent ends it, and one that must wait is no attempt.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	err := w.work(ctx, job.Args)
	var f *domain.Failure
	switch {
	case !errors.As(err, &f):
		return err
	case f.Skip:
		return nil
	case f.Permanent:
		return river.JobCancel(err)
	case f.Wait > 0:
		return river.JobSnooze(f.Wait)
	}
	return err
}

// NextRetry returns when a failed job runs again.
func (w *worker[T]) NextRetry(job *river.Job[T]) time.Time {
	return w.clock.Now().Add(domain.Backoff(job.Attempt))
}
