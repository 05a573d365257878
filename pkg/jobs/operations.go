package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"souk/pkg/errs"
	"souk/pkg/postgres"
)

// Kind sums up the jobs of one kind in one queue.
type Kind struct {
	Kind, Queue string
	// Waiting are due, Scheduled are due later, and Failing failed and are tried again. Discarded ones have failed for
	// the last time; they are deleted after a week.
	Waiting, Running, Scheduled, Failing, Discarded int64
	// Next is when the next job is due; nil if none is.
	Next *time.Time
	// Last is when a job was done last; nil if none was in the last 24 hours.
	Last *time.Time
	// Paused: an operator has paused the queue.
	Paused bool
}

const sqlKinds = `
select j.kind, j.queue, count(*) filter (where j.state = 'available'), count(*) filter (where j.state = 'running'),
       count(*) filter (where j.state in ('scheduled', 'pending')), count(*) filter (where j.state = 'retryable'),
       count(*) filter (where j.state = 'discarded'),
       min(j.scheduled_at) filter (where j.state in ('available', 'scheduled', 'pending', 'retryable')),
       max(j.finalized_at) filter (where j.state = 'completed'),
       exists (select from river_queue q where q.name = j.queue and q.paused_at is not null)
from river_job j where j.state <> 'cancelled'
group by j.kind, j.queue order by j.kind, j.queue`

// Kinds sums up the jobs of a database: those that have not ended, and those that ended in the last 24 hours.
//
// Errors: unavailable.
func Kinds(ctx context.Context, pool *pgxpool.Pool) ([]Kind, error) {
	rows, err := pool.Query(ctx, sqlKinds)
	if err != nil {
		return nil, postgres.Err(err)
	}
	kinds, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Kind])
	return kinds, postgres.Err(err)
}

// Failure is a job that failed.
type Failure struct {
	ID          int64
	Kind, State string
	// Attempt counts the attempts so far, of at most MaxAttempts.
	Attempt, MaxAttempts int16
	// At is when it failed last, and Error why.
	At    time.Time
	Error string
	// Next is when it is tried again; nil for a discarded job.
	Next *time.Time
}

const sqlFailures = `
select id, kind, state::text, attempt, max_attempts, coalesce(attempted_at, created_at), coalesce(errors[cardinality(errors)] ->> 'error', ''),
       case when state = 'retryable' then scheduled_at end
from river_job where state in ('retryable', 'discarded')
order by coalesce(attempted_at, created_at) desc, id desc limit $1`

// Failures returns at most n jobs of a database that failed, the latest first.
//
// Errors: unavailable.
func Failures(ctx context.Context, pool *pgxpool.Pool, n int) ([]Failure, error) {
	rows, err := pool.Query(ctx, sqlFailures, n)
	if err != nil {
		return nil, postgres.Err(err)
	}
	failures, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Failure])
	return failures, postgres.Err(err)
}

// Retry makes a job run at once, also one that was discarded. It has one more attempt if it has used all.
//
// Errors: not_found, unavailable.
func Retry(ctx context.Context, pool *pgxpool.Pool, id int64) error {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return errs.Wrap(err, errs.Internal, "jobs: %v", err)
	}
	_, err = client.JobRetry(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		return errs.New(errs.NotFound, "there is no job %d", id)
	}
	return postgres.Err(err)
}
