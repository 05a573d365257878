// Package repository stores webhooks and deliveries in PostgreSQL, and inserts and works the jobs of deliveries.
package repository

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/webhook/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/lock_owner.sql
	lockOwner string
	//go:embed sql/count_webhooks.sql
	countWebhooks string
	//go:embed sql/create_webhook.sql
	createWebhook string
	//go:embed sql/get_webhook.sql
	getWebhook string
	//go:embed sql/lock_webhook.sql
	lockWebhook string
	//go:embed sql/list_webhooks.sql
	listWebhooks string
	//go:embed sql/update_webhook.sql
	updateWebhook string
	//go:embed sql/delete_webhook.sql
	deleteWebhook string
	//go:embed sql/end_secrets.sql
	endSecrets string
	//go:embed sql/add_secret.sql
	addSecret string
)

// Store stores webhooks and deliveries.
type Store struct{ pool *pgxpool.Pool }

// New returns the store.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Create stores a new webhook and its secret.
//
// Errors: conflict (its owner has too many).
func (s *Store) Create(ctx context.Context, w domain.Webhook, secret string) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockOwner, w.ShopID); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, countWebhooks, w.ShopID).Scan(&n); err != nil {
			return err
		}
		if n >= domain.MaxWebhooks {
			return errs.New(errs.Conflict, "there are %d webhooks: that is the most", n)
		}
		_, err := tx.Exec(ctx, createWebhook, w.ID, w.ShopID, w.URL, w.Events, w.Status, w.DisabledReason, w.CreatedAt,
			w.UpdatedAt, secret)
		return err
	}))
}

// Get returns a webhook.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, webhookID string) (domain.Webhook, error) {
	return oneOf[domain.Webhook](s.pool.Query(ctx, getWebhook, webhookID))
}

// List returns at most limit webhooks of a shop, or of the marketplace, from before an ID, newest first.
func (s *Store) List(ctx context.Context, shopID, before string, limit int) ([]domain.Webhook, error) {
	return allOf[domain.Webhook](s.pool.Query(ctx, listWebhooks, shopID, before, limit))
}

// Update locks a webhook, lets f change it, and stores it if f reports a change.
//
// Errors: f's, not_found.
func (s *Store) Update(
	ctx context.Context, webhookID string, f func(*domain.Webhook) (changed bool, err error),
) (w domain.Webhook, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if w, err = oneOf[domain.Webhook](tx.Query(ctx, lockWebhook, webhookID)); err != nil {
			return err
		}
		changed, err := f(&w)
		if err != nil || !changed {
			return err
		}
		_, err = tx.Exec(ctx, updateWebhook, w.ID, w.URL, w.Events, w.Status, w.DisabledReason, w.UpdatedAt)
		return err
	})
	return w, postgres.Err(err)
}

// Delete deletes a webhook with its secrets and deliveries. The jobs of these find nothing to do.
func (s *Store) Delete(ctx context.Context, webhookID string) error {
	_, err := s.pool.Exec(ctx, deleteWebhook, webhookID)
	return postgres.Err(err)
}

// Rotate gives a webhook a new secret. The one before is valid for domain.KeepSecret.
//
// Errors: not_found, conflict (too many are valid).
func (s *Store) Rotate(ctx context.Context, webhookID, secret string, at time.Time) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := oneOf[domain.Webhook](tx.Query(ctx, lockWebhook, webhookID)); err != nil {
			return err
		}
		var valid int
		if err := tx.QueryRow(ctx, endSecrets, webhookID, at, at.Add(domain.KeepSecret)).Scan(&valid); err != nil {
			return err
		}
		if valid >= domain.MaxSecrets {
			return errs.New(errs.Conflict, "%d secrets are valid: wait until the oldest one ends", valid)
		}
		_, err := tx.Exec(ctx, addSecret, webhookID, secret, at)
		return err
	}))
}

// oneOf returns the only row.
//
// Errors: not_found.
func oneOf[T any](rows pgx.Rows, err error) (T, error) {
	if err != nil {
		return *new(T), postgres.Err(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return v, errs.New(errs.NotFound, "there is no such thing")
	}
	return v, postgres.Err(err)
}

func allOf[T any](rows pgx.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return out, postgres.Err(err)
}
