package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// txAttempts bounds how often a transaction runs that PostgreSQL broke off in favour of another.
const txAttempts = 5

// rollbackTimeout bounds the rollback of a transaction whose caller has gone.
const rollbackTimeout = 5 * time.Second

// InTx runs f in a transaction: committed when f returns nil, rolled back when it returns an error or
// panics. A serialization failure or a deadlock makes it run again, a few times, so f must have no
// effect outside of the transaction. On a pgx.Tx it makes a savepoint and does not retry.
//
// Errors of f come back as they are; those of begin and commit, and a transaction that lost every time,
// as by Err.
func InTx(ctx context.Context, db Beginner, f func(pgx.Tx) error) error {
	attempts := txAttempts
	if _, nested := db.(pgx.Tx); nested {
		attempts = 1
	}
	return repeated(ctx, attempts, func() error { return once(ctx, db, f) })
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
		_ = tx.Rollback(ctx) // a connection that cannot roll back is closed by pgx, which rolls back
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

// SendBatch sends the batch in one round trip, reads all of its results, and returns the first error.
// On a pool the batch is one implicit transaction: a statement that PostgreSQL refuses undoes all of
// it. On a transaction it is a part of that.
//
// A callback of the batch (QueuedQuery.Query, QueryRow, Exec) runs when everything has already been
// sent: its error is returned, but undoes nothing on a pool. What must hold is for SQL to check.
//
// Its errors are those of Err.
func SendBatch(ctx context.Context, db Batcher, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return Err(db.SendBatch(ctx, b).Close())
}
