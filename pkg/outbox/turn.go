package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/event"
	"souk/pkg/postgres"
)

// lockKey is the advisory lock of the one who publishes, in each database: "soukoutb" as a number.
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

	// sqlMark does not wait for the disk: the stream has the rows, and a mark that an outage takes with it is set
	// once more after they were published again, which the duplicates window or the inboxes take notice of. The
	// setting ends with the transaction. It stands in from, or it would not be carried out.
	sqlMark = `
update outbox set sent_at = $2
from (select set_config('synchronous_commit', 'off', true)) as relaxed
where seq = any($1) and sent_at is null`
)

// row is one line of the outbox.
type row struct {
	seq int64
	event.Event
}

func scanRow(rows pgx.CollectableRow) (row, error) {
	var s row
	err := rows.Scan(&s.seq, &s.ID, &s.Subject, &s.Type, &s.AggregateID, &s.AggregateVersion, &s.Time, &s.Metadata, &s.Payload)
	return s, err
}

// turn is the right to publish from a database, which one process has at a time: the session lock of a
// connection. It is held from reading rows to marking them, so that two relays never interleave an
// aggregate's events. PostgreSQL takes it from a process that dies.
type turn struct {
	conn *pgxpool.Conn
	held bool
}

// takeTurn takes the turn and reads rows, in one round trip. When another has the turn it returns nil.
func takeTurn(ctx context.Context, pool *pgxpool.Pool, query string, args ...any) (*turn, []row, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, nil, postgres.Err(err)
	}
	t := &turn{conn: conn}
	var rows []row
	b := &pgx.Batch{}
	b.Queue(sqlLock, lockKey).QueryRow(func(r pgx.Row) error { return r.Scan(&t.held) })
	b.Queue(query, args...).Query(collect(&rows)) // a statement of its own sees what was marked before the lock was free
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		t.held = true // for all we know
		t.abandon()
		return nil, nil, postgres.Err(err)
	}
	if !t.held {
		conn.Release()
		return nil, nil, nil
	}
	return t, rows, nil
}

// next marks rows as sent and reads more, in one round trip.
func (t *turn) next(ctx context.Context, sent []row, at time.Time, query string, args ...any) ([]row, error) {
	var rows []row
	b := &pgx.Batch{}
	queueMark(b, sent, at)
	b.Queue(query, args...).Query(collect(&rows))
	err := t.conn.SendBatch(ctx, b).Close()
	return rows, postgres.Err(err)
}

// finish marks rows as sent and gives the turn back, in one round trip. It does so even when ctx has
// ended: what is out is out.
func (t *turn) finish(ctx context.Context, sent []row, at time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	b := &pgx.Batch{}
	queueMark(b, sent, at)
	b.Queue(sqlUnlock, lockKey)
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		t.abandon()
		return postgres.Err(err)
	}
	t.held = false
	return nil
}

// done gives back what is still held. It may follow finish and abandon.
func (t *turn) done(ctx context.Context) {
	if t.conn == nil {
		return
	}
	if t.held {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
		defer cancel()
		if _, err := t.conn.Exec(ctx, sqlUnlock, lockKey); err != nil {
			t.abandon()
			return
		}
	}
	t.conn.Release()
	t.conn = nil
}

// abandon ends the session, and with it the lock, instead of giving the pool a connection that holds it.
func (t *turn) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = t.conn.Conn().Close(ctx) // the socket is closed in any case
	t.conn.Release()
	t.conn = nil
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
