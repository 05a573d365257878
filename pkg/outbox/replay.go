package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/errs"
	"souk/pkg/postgres"
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
	total := 0
	for {
		held, err := publishing(ctx, pool, func(tx *postgres.Batches, rows []row) error {
			var err error
			total, err = replay(ctx, tx, js, source, since, rows)
			return err
		}, sqlReplay, int64(0), since, replayBatch)
		if err != nil || held {
			return total, err
		}
		if !sleep(ctx, replayWait) {
			return 0, ctx.Err()
		}
	}
}

// replay publishes rows and all that follow them in one transaction, so that no relay publishes between them. If it
// does not commit, rows that were pending stay so, and are published once more.
func replay(
	ctx context.Context, tx *postgres.Batches, js jetstream.JetStream, source string, since time.Time, rows []row,
) (total int, err error) {
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
		after := rows[len(rows)-1].seq
		b := &pgx.Batch{}
		queueMark(b, out.sent, time.Now())
		b.Queue(sqlReplay, after, since, replayBatch).Query(collect(&rows))
		if err := tx.Send(ctx, b); err != nil {
			return total, postgres.Err(err)
		}
	}
	return total, nil
}
