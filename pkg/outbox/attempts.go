package outbox

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/postgres"
)

// uncountTimeout bounds how long a process that stops tries to uncount an attempt.
const uncountTimeout = time.Second

const sqlCount = `
insert into inbox_attempt as a (consumer, event_id, stream_seq, attempts)
values ($1, $2, $3, 1)
on conflict (consumer, event_id) do update
set attempts = case when a.stream_seq = excluded.stream_seq then a.attempts + 1 else 1 end,
    stream_seq = excluded.stream_seq, tried_at = now()
returning attempts`

const sqlUncount = `
update inbox_attempt set attempts = attempts - 1
where consumer = $1 and event_id = $2 and stream_seq = $3 and attempts > 0`

const sqlPruneAttempts = `
delete from inbox_attempt where (consumer, event_id) in (
    select consumer, event_id from inbox_attempt where tried_at < $1 limit $2)`

// begin prepares an attempt at an event. After precountAfter deliveries the event may be one that kills its
// process, so begin counts the attempt beforehand. If too many were counted, it makes the event a dead letter and
// returns false.
func (c *Consumer) begin(ctx context.Context, it *item) bool {
	if it.deliveries <= precountAfter {
		return true
	}
	c.count(ctx, it)
	if it.attempts <= c.o.MaxDeliver {
		return true
	}
	c.dead(
		ctx,
		it,
		errs.New(errs.Internal, "handed to the handler %d times, and its process never lived to say how it went",
			it.attempts-1),
	)
	return false
}

// count counts an attempt at an event in the database, so that all processes share the count and a restart does not
// reset it. It does not use the handler's transaction, which is rolled back. If it fails, the event gets one more
// attempt.
func (c *Consumer) count(ctx context.Context, it *item) {
	err := c.pool.QueryRow(ctx, sqlCount, c.name, it.event.ID, int64(it.seq)).Scan(&it.attempts)
	if err != nil {
		c.log.Warn("an attempt at an event could not be counted", zap.String("event_id", it.event.ID),
			zap.Error(postgres.Err(err)))
	}
}

// uncount takes back an attempt that was counted beforehand and then interrupted because the process stops: it says
// nothing about the event. It does so even when ctx has ended.
func (c *Consumer) uncount(ctx context.Context, it *item) {
	if it.attempts == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), uncountTimeout)
	defer cancel()
	if _, err := c.pool.Exec(ctx, sqlUncount, c.name, it.event.ID, int64(it.seq)); err != nil {
		c.log.Warn("an attempt at an event that the end of the process cut short stays counted",
			zap.String("event_id", it.event.ID), zap.Error(postgres.Err(err)))
	}
}

// pruneAttempts deletes the counts of attempts that were last made before the given time.
func pruneAttempts(ctx context.Context, db postgres.Execer, before time.Time) error {
	_, err := prune(ctx, db, sqlPruneAttempts, before)
	return err
}
