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

// Replay publishes every row of the outbox that was written since the time again, sent or not, in order,
// and returns how many. Consumers skip what they have taken in before, so it is safe at any time; it is
// needed when JetStream lost its files. While it runs, relays of this outbox wait: what happens
// meanwhile goes out after it, so that the order of each aggregate holds. Source is the service whose
// outbox it is.
//
// Its errors: unavailable when PostgreSQL or JetStream does not answer. It may simply be called again.
func Replay(ctx context.Context, pool *pgxpool.Pool, js jetstream.JetStream, source string, since time.Time) (int, error) {
	if err := requireStreams(ctx, js, Streams{}); err != nil {
		return 0, err
	}
	var (
		t    *turn
		rows []row
		seq  int64
		err  error
	)
	for {
		if t, rows, err = takeTurn(ctx, pool, sqlReplay, seq, since, replayBatch); err != nil {
			return 0, err
		}
		if t != nil {
			break
		}
		if !pause(ctx, replayWait) {
			return 0, ctx.Err()
		}
	}
	defer t.done(ctx)
	total := 0
	for len(rows) > 0 {
		all := make([]message, len(rows))
		for i, r := range rows {
			all[i] = message{row: r, source: source}
		}
		out := publish(ctx, js, all, 1)[0]
		total += len(out.sent)
		if out.err != nil {
			return total, errs.Wrap(out.err, errs.Unavailable, "JetStream does not take the events").WithRetryAfter(time.Second)
		}
		seq = rows[len(rows)-1].seq
		if rows, err = t.next(ctx, out.sent, time.Now(), sqlReplay, seq, since, replayBatch); err != nil {
			return total, err
		}
	}
	return total, nil
}
