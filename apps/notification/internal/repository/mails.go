// Package repository keeps mails in PostgreSQL and hands them to a mail server.
package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository/sqlc"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Store keeps mails. Its errors are those of postgres.Err.
type Store struct {
	pool *pgxpool.Pool
	wake func() // the relay, when there are new events
}

// Open returns the store.
func Open(pool *pgxpool.Pool, wake func()) *Store { return &Store{pool: pool, wake: wake} }

// Consume returns a handler of events: what read makes of one is queued in its transaction, once a kind and order;
// queued is called then, before the commit.
func (s *Store) Consume(read func(event.Event) (domain.Mail, bool, error), queued func()) func(context.Context, pgx.Tx, event.Event) error {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		m, ok, err := read(e)
		if err != nil || !ok {
			return err
		}
		n, err := sqlc.New(tx).QueueMail(ctx, sqlc.QueueMailParams{
			ID: m.ID, Kind: string(m.Kind), OrderID: m.OrderID, At: m.CreatedAt, Traceparent: m.Traceparent,
		})
		if err == nil && n > 0 {
			queued()
		}
		return postgres.Err(err)
	}
}

// Claim takes at most n mails that are due; nobody else gets them until the time.
func (s *Store) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	rows, err := sqlc.New(s.pool).ClaimMails(ctx, sqlc.ClaimMailsParams{Now: now, Until: until, AtMost: int32(n)}) //nolint:gosec // at most 64
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]domain.Mail, len(rows))
	for i, r := range rows {
		out[i] = domain.Mail{
			ID: r.ID, Kind: domain.Kind(r.Kind), OrderID: r.OrderID, Attempts: r.Attempts, Traceparent: r.Traceparent, CreatedAt: r.CreatedAt,
		}
	}
	return out, nil
}

// Sent notes that a mail was sent, with its event, unless the mail belongs to somebody else by now.
func (s *Store) Sent(ctx context.Context, m domain.Mail, at time.Time, told event.Event) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		n, err := sqlc.New(tx).MailSent(ctx, sqlc.MailSentParams{ID: m.ID, Attempts: m.Attempts, At: at})
		if err != nil || n == 0 {
			return err
		}
		return outbox.Append(ctx, tx, told)
	})
	if err == nil {
		s.wake()
	}
	return postgres.Err(err)
}

// Failed notes that a mail is not tried any more.
func (s *Store) Failed(ctx context.Context, m domain.Mail, reason string) error {
	_, err := sqlc.New(s.pool).MailFailed(ctx, sqlc.MailFailedParams{ID: m.ID, Attempts: m.Attempts, Reason: reason})
	return postgres.Err(err)
}

// Again notes that a mail is tried again at the time.
func (s *Store) Again(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	_, err := sqlc.New(s.pool).MailAgain(ctx, sqlc.MailAgainParams{ID: m.ID, Attempts: m.Attempts, Reason: reason, At: at})
	return postgres.Err(err)
}
