//go:build !documents && !none

// Package repository stores gadgets in PostgreSQL.
package repository

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Store stores gadgets in PostgreSQL.
type Store struct {
	pool *pgxpool.Pool
	wake func() // wakes the relay after new events
}

// New returns the store.
func New(pool *pgxpool.Pool, wake func()) *Store { return &Store{pool: pool, wake: wake} }

// write runs f in a transaction, appends the events that f returns, and wakes the relay.
func (s *Store) write(
	ctx context.Context, f func(pgx.Tx) ([]event.Event, error),
) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		events, err := f(tx)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.wake()
	return nil
}
