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
	sqlLock   = `select pg_try_advisory_lock($1)`
	sqlUnlock = `select pg_advisory_unlock($1)`

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

// publishLock is the exclusive right to publish from a database: a session advisory lock on a connection.
// It is held from reading rows to marking them, so that two relays never interleave an aggregate's events.
// PostgreSQL releases it when the process dies.
type publishLock struct {
	conn *pgxpool.Conn
	held bool
}

// tryLock takes the lock and reads rows, in one round trip. It returns nil when another process holds the lock.
func tryLock(ctx context.Context, pool *pgxpool.Pool, query string, args ...any) (*publishLock, []row, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, nil, postgres.Err(err)
	}
	l := &publishLock{conn: conn}
	var rows []row
	b := &pgx.Batch{}
	b.Queue(sqlLock, lockKey).QueryRow(func(r pgx.Row) error { return r.Scan(&l.held) })
	// A separate statement sees the marks that were made before the lock was released.
	b.Queue(query, args...).Query(collect(&rows))
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		l.held = true // it may be held
		l.abandon()
		return nil, nil, postgres.Err(err)
	}
	if !l.held {
		conn.Release()
		return nil, nil, nil
	}
	return l, rows, nil
}

// next marks rows as sent and reads more, in one round trip.
func (l *publishLock) next(ctx context.Context, sent []row, at time.Time, query string, args ...any) ([]row, error) {
	var rows []row
	b := &pgx.Batch{}
	queueMark(b, sent, at)
	b.Queue(query, args...).Query(collect(&rows))
	err := l.conn.SendBatch(ctx, b).Close()
	return rows, postgres.Err(err)
}

// finish marks rows as sent and releases the lock, in one round trip. It does so even when ctx has ended,
// because the rows have been published.
func (l *publishLock) finish(ctx context.Context, sent []row, at time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	b := &pgx.Batch{}
	queueMark(b, sent, at)
	b.Queue(sqlUnlock, lockKey)
	if err := l.conn.SendBatch(ctx, b).Close(); err != nil {
		l.abandon()
		return postgres.Err(err)
	}
	l.held = false
	return nil
}

// release releases the lock if it is still held, and the connection. It may follow finish and abandon.
func (l *publishLock) release(ctx context.Context) {
	if l.conn == nil {
		return
	}
	if l.held {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
		defer cancel()
		if _, err := l.conn.Exec(ctx, sqlUnlock, lockKey); err != nil {
			l.abandon()
			return
		}
	}
	l.conn.Release()
	l.conn = nil
}

// abandon ends the session, and with it the lock. A connection that may hold the lock must not return to the pool.
func (l *publishLock) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Conn().Close(ctx) // the socket is closed even when this fails
	l.conn.Release()
	l.conn = nil
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
