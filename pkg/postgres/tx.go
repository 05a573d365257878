package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// txAttempts bounds how often a transaction runs that fails with a serialization failure or a deadlock.
const txAttempts = 5

// rollbackTimeout bounds a rollback, which must not depend on the caller's context: it may have ended.
const rollbackTimeout = 5 * time.Second

// InTx runs f in a transaction. It commits if f returns nil and rolls back if f returns an error or panics. After a
// serialization failure or a deadlock it runs f again, up to five times, so f must have no effects outside of the
// transaction. If db is a pgx.Tx, InTx makes a savepoint and does not retry.
//
// Errors: those of f, unchanged; those of begin, commit and the last attempt, as by [Err].
func InTx(ctx context.Context, db Beginner, f func(pgx.Tx) error) error {
	attempts := txAttempts
	if _, nested := db.(pgx.Tx); nested {
		attempts = 1
	}
	return retryConflicts(ctx, attempts, func() error { return once(ctx, db, f) })
}

func once(ctx context.Context, db Beginner, f func(pgx.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return Err(err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // ignored: pgx closes a connection that cannot roll back, and so the server does
	}()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return Err(err)
	}
	committed = true
	return nil
}

// SendBatch sends the batch in one round trip, reads all of its results, and returns the first error. On a pool, the
// batch is one implicit transaction: if PostgreSQL refuses a statement, no statement takes effect.
//
// Callbacks of the batch (QueuedQuery.Query, QueryRow, Exec) run after everything was sent. SendBatch returns their
// errors, but on a pool these undo nothing. Invariants must therefore be checked in SQL.
//
// Errors: as by [Err].
func SendBatch(ctx context.Context, db BatchSender, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return Err(db.SendBatch(ctx, b).Close())
}
