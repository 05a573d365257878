package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/event"
	"souk/pkg/postgres"
)

// lockKey is the key of the advisory lock for publishing, in each database: "soukoutb" as a number.
const lockKey int64 = 0x736f756b6f757462

const (
	sqlLock = `select pg_try_advisory_xact_lock($1)`

	sqlPending = `
select seq, id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload
from outbox
where sent_at is null
order by seq
limit $1`

	// sqlMark does not wait for the disk: the stream has the rows. If a crash loses a mark, the row is published
	// again, the duplicates window or the inboxes drop the copy, and the row is marked again. The setting ends with
	// the transaction. It stands in the from clause, because otherwise it would not be evaluated.
	sqlMark = `
update outbox set sent_at = $2
from (select set_config('synchronous_commit', 'off', true)) as relaxed
where seq = any($1) and sent_at is null`
)

// row is one row of the outbox.
type row struct {
	seq int64
	event.Event
}

func scanRow(rows pgx.CollectableRow) (row, error) {
	var s row
	err := rows.Scan(&s.seq, &s.ID, &s.Subject, &s.Type, &s.AggregateID, &s.AggregateVersion, &s.Time, &s.Metadata,
		&s.Payload)
	return s, err
}

// publishing calls f with the rows that a query reads, in a transaction that holds the exclusive right to publish from
// the database: an advisory lock of the transaction. It is held from reading rows to the commit that marks them, so that
// two relays never interleave an aggregate's events. PostgreSQL releases it when the process dies. held is false, and f
// is not called, while another process publishes.
//
// The lock and the rows take one round trip. f ends with one more by [postgres.Batches.Commit], unless there are no
// rows.
func publishing(
	ctx context.Context, pool *pgxpool.Pool, f func(tx *postgres.Batches, rows []row) error, query string, args ...any,
) (held bool, err error) {
	err = postgres.InBatches(ctx, pool, nil, func(tx *postgres.Batches) error {
		var rows []row
		b := &pgx.Batch{}
		b.Queue(sqlLock, lockKey).QueryRow(func(r pgx.Row) error { return r.Scan(&held) })
		// A separate statement sees the marks that were committed before the lock was released.
		b.Queue(query, args...).Query(collect(&rows))
		if err := tx.Send(ctx, b); err != nil || !held {
			return postgres.Err(err)
		}
		return f(tx, rows)
	})
	return held, err
}

// finish marks rows as sent and commits, even when ctx has ended, because the rows have been published.
func finish(ctx context.Context, tx *postgres.Batches, sent []row, at time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	b := &pgx.Batch{}
	queueMark(b, sent, at)
	return postgres.Err(tx.Commit(ctx, b))
}

func queueMark(b *pgx.Batch, sent []row, at time.Time) {
	if len(sent) == 0 {
		return
	}
	seqs := make([]int64, len(sent))
	for i, s := range sent {
		seqs[i] = s.seq
	}
	b.Queue(sqlMark, seqs, at)
}

func collect(into *[]row) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var err error
		*into, err = pgx.CollectRows(rows, scanRow)
		return err
	}
}
