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

// Batches is a transaction that consists of batches. See [InBatches].
type Batches struct {
	conn      *pgxpool.Conn
	settings  []string
	begun     bool
	committed bool
}

// InBatches is [InTx] for a transaction of a few batches. The begin is sent with the first batch, the commit with the
// batch given to [Batches.Commit], so that two batches take two round trips instead of four. If f returns nil without
// having committed, InBatches commits.
//
// The settings are statements that are sent after the begin ("set local lock_timeout = …").
//
// Errors: those of f, unchanged; those of the final commit and the last attempt, as by [Err].
func InBatches(ctx context.Context, pool *pgxpool.Pool, settings []string, f func(*Batches) error) error {
	return retryConflicts(ctx, txAttempts, func() error { return inBatches(ctx, pool, settings, f) })
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

// Send sends a batch, reads all of its results, and returns the first error, unchanged. After an error the
// transaction cannot commit.
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

// Commit sends a batch and the commit. If PostgreSQL refuses a statement, it does not commit. An error of a
// callback of the batch (QueuedQuery.Query, QueryRow, Exec) comes too late to prevent the commit, so invariants
// must be checked in SQL.
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

// Conn returns the transaction's connection, for statements after the first batch. It is valid until f returns.
func (t *Batches) Conn() *pgx.Conn { return t.conn.Conn() }

func (t *Batches) rollback(ctx context.Context) {
	if t.committed || !t.begun || t.conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := t.conn.Exec(ctx, "rollback"); err != nil {
		_ = t.conn.Conn().Close(ctx) // ignored: closed in any case, which rolls back, too
	}
}

// retryConflicts calls f until it does not fail with a serialization failure or a deadlock, at most attempts times.
func retryConflicts(ctx context.Context, attempts int, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !isConflict(err) {
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
