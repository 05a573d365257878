package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/errs"
)

const (
	replayBatch = 500
	replayWait  = 20 * time.Millisecond
)

const sqlReplay = `
select seq, id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload
from outbox
where seq > $1 and created_at >= $2
order by seq
limit $3`

// Replay publishes again, in order, every row that was written to the outbox since the given time, sent or not.
// It returns the number of rows published. It is needed after JetStream has lost its files, and is safe at any
// time, because consumers skip the events that they have handled. Relays of this outbox wait while it runs, so
// that later events are published after it and the order of each aggregate holds. Source is the service whose
// outbox it is.
//
// Errors: unavailable (PostgreSQL or JetStream does not answer; Replay may be called again).
func Replay(
	ctx context.Context, pool *pgxpool.Pool, js jetstream.JetStream, source string, since time.Time,
) (int, error) {
	var (
		lock *publishLock
		rows []row
		seq  int64
		err  error
	)
	for {
		if lock, rows, err = tryLock(ctx, pool, sqlReplay, seq, since, replayBatch); err != nil {
			return 0, err
		}
		if lock != nil {
			break
		}
		if !sleep(ctx, replayWait) {
			return 0, ctx.Err()
		}
	}
	defer lock.release(ctx)
	total := 0
	for len(rows) > 0 {
		all := make([]message, len(rows))
		for i, r := range rows {
			all[i] = message{row: r, source: source}
		}
		out := publish(ctx, js, all, 1)[0]
		total += len(out.sent)
		if out.err != nil {
			return total, errs.Wrap(out.err, errs.Unavailable, "JetStream does not take the events").
				WithRetryAfter(time.Second)
		}
		seq = rows[len(rows)-1].seq
		if rows, err = lock.next(ctx, out.sent, time.Now(), sqlReplay, seq, since, replayBatch); err != nil {
			return total, err
		}
	}
	return total, nil
}
