package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Batches is a transaction of batches, without round trips of its own. See [InBatches].
type Batches struct {
	conn      *pgxpool.Conn
	settings  []string
	begun     bool
	committed bool
}

// InBatches is [InTx] for a transaction that consists of few batches: it begins with the first one, and commits with
// the one that is given to [Batches.Commit], so that two batches are two round trips instead of four. Each costs both sides
// a write, a read and two changes of context. If f returns nil and has not committed, that is done then.
//
// Settings are statements that go out behind the begin ("set local lock_timeout = …").
func InBatches(ctx context.Context, pool *pgxpool.Pool, settings []string, f func(*Batches) error) error {
	return repeated(ctx, txAttempts, func() error { return inBatches(ctx, pool, settings, f) })
}

func inBatches(ctx context.Context, pool *pgxpool.Pool, settings []string, f func(*Batches) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return Err(err)
	}
	defer conn.Release() // closes a connection that is still in a transaction
	tx := &Batches{conn: conn, settings: settings}
	defer tx.rollback(ctx)
	if err := f(tx); err != nil {
		return err
	}
	if tx.committed || !tx.begun {
		return nil
	}
	return Err(tx.Commit(ctx, &pgx.Batch{}))
}

// Send sends a batch, reads all of its results, and returns the first error, as it is: when it is not nil, nothing of
// the transaction happens.
func (t *Batches) Send(ctx context.Context, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if t.begun {
		return t.conn.SendBatch(ctx, b).Close()
	}
	t.begun = true
	all := &pgx.Batch{}
	all.Queue("begin")
	for _, s := range t.settings {
		all.Queue(s)
	}
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	return t.conn.SendBatch(ctx, all).Close()
}

// Commit sends a batch, and with it the commit. PostgreSQL skips the commit when it refuses one of the statements; a
// callback of the batch (QueuedQuery.Query, QueryRow, Exec) that fails comes too late: what must hold is for SQL to check.
func (t *Batches) Commit(ctx context.Context, b *pgx.Batch) error {
	b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("commit: %w", pgx.ErrTxCommitRollback)
		}
		t.committed = true
		return nil
	})
	return t.Send(ctx, b)
}

// Conn is for statements between batches, after the first. It is nobody else's until f returns.
func (t *Batches) Conn() *pgx.Conn { return t.conn.Conn() }

func (t *Batches) rollback(ctx context.Context) {
	if t.committed || !t.begun || t.conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := t.conn.Exec(ctx, "rollback"); err != nil {
		_ = t.conn.Conn().Close(ctx) // which rolls back, too
	}
}

// repeated calls f until it is not a transaction any more that PostgreSQL broke off in favour of another.
func repeated(ctx context.Context, attempts int, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !lost(err) {
			return err
		}
		if attempt >= attempts {
			return Err(err)
		}
		select {
		case <-ctx.Done():
			return Err(ctx.Err())
		case <-time.After(rand.N(time.Duration(attempt) * 10 * time.Millisecond)): //nolint:gosec // not a secret
		}
	}
}
