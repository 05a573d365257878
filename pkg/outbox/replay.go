package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/errs"
	"souk/pkg/postgres"
	"souk/pkg/retry"
)

const (
	replayBatch = 500
	replayWait  = 20 * time.Millisecond
)

// replayRetries bridge a JetStream that is busy or changes its leader. The outbox is locked meanwhile.
var replayRetries = retry.Policy{Attempts: 6, Base: 500 * time.Millisecond, Max: 2 * time.Second}

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
		sent, err := publishRows(ctx, js, source, rows)
		total += len(sent)
		if err != nil {
			return total, errs.Wrap(err, errs.Unavailable, "JetStream does not take the events").
				WithRetryAfter(time.Second)
		}
		after := rows[len(rows)-1].seq
		b := &pgx.Batch{}
		queueMark(b, sent, time.Now())
		b.Queue(sqlReplay, after, since, replayBatch).Query(collect(&rows))
		if err := tx.Send(ctx, b); err != nil {
			return total, postgres.Err(err)
		}
	}
	return total, nil
}

// publishRows publishes rows, and those that fail again, in order for each aggregate.
func publishRows(ctx context.Context, js jetstream.JetStream, source string, rows []row) (sent []row, err error) {
	left := slices.Clone(rows)
	err = retry.Do(ctx, replayRetries, func(error) bool { return true }, func(ctx context.Context) error {
		all := make([]message, len(left))
		for i, r := range left {
			all[i] = message{row: r, source: source}
		}
		out := publish(ctx, js, all, 1)[0]
		sent = append(sent, out.sent...)
		done := map[int64]bool{}
		for _, r := range out.sent {
			done[r.seq] = true
		}
		left = slices.DeleteFunc(left, func(r row) bool { return done[r.seq] })
		return out.err
	})
	return sent, err
}
