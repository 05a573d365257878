package outbox

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/postgres"
)

// takeBackTime bounds how long a process that stops tries to uncount an attempt.
const takeBackTime = time.Second

const sqlAttempt = `
insert into inbox_attempt as a (consumer, event_id, stream_seq, attempts)
values ($1, $2, $3, 1)
on conflict (consumer, event_id) do update
set attempts = case when a.stream_seq = excluded.stream_seq then a.attempts + 1 else 1 end,
    stream_seq = excluded.stream_seq, tried_at = now()
returning attempts`

const sqlTakeBack = `
update inbox_attempt set attempts = attempts - 1
where consumer = $1 and event_id = $2 and stream_seq = $3 and attempts > 0`

const sqlPruneAttempts = `
delete from inbox_attempt where (consumer, event_id) in (
    select consumer, event_id from inbox_attempt where tried_at < $1 limit $2)`

// begin notes that an event is about to be handed to the handler, when so many deliveries were spent on it that
// its process may die of it each time. It returns false, and the event is settled, when it was noted too often.
func (c *Consumer) begin(ctx context.Context, it *item) bool {
	if it.deliveries <= neverHandled {
		return true
	}
	c.attempt(ctx, it)
	if it.attempts <= c.o.MaxDeliver {
		return true
	}
	c.dead(ctx, it, errs.New(errs.Internal, "handed to the handler %d times, and its process never lived to say how it went", it.attempts-1))
	return false
}

// attempt counts an attempt at an event, in the database, so that the count outlives the process and is one
// for all processes. It stays out of the handler's transaction, which is undone. An attempt that cannot be
// counted is one more that the event has.
func (c *Consumer) attempt(ctx context.Context, it *item) {
	err := c.pool.QueryRow(ctx, sqlAttempt, c.name, it.event.ID, int64(it.seq)).Scan(&it.attempts)
	if err != nil {
		c.log.Warn("an attempt at an event could not be counted", zap.String("event_id", it.event.ID), zap.Error(postgres.Err(err)))
	}
}

// takeBack uncounts an attempt that was counted when it began and was broken off because the process stops: that says
// nothing about the event. It does so also when ctx has ended.
func (c *Consumer) takeBack(ctx context.Context, it *item) {
	if it.attempts == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	if _, err := c.pool.Exec(ctx, sqlTakeBack, c.name, it.event.ID, int64(it.seq)); err != nil {
		c.log.Warn("an attempt at an event that the end of the process cut short stays counted", zap.String("event_id", it.event.ID), zap.Error(postgres.Err(err)))
	}
}

// pruneAttempts forgets the attempts at events whose inbox rows are forgotten as well.
func pruneAttempts(ctx context.Context, db postgres.Execer, before time.Time) error {
	_, err := prune(ctx, db, sqlPruneAttempts, before)
	return err
}
