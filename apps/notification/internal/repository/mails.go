// Package repository keeps mails in PostgreSQL and sends them to a mail server.
package repository

import (
	"context"
	_ "embed" // the statement below
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Store keeps mails.
//
// Errors: those of postgres.Err.
type Store struct {
	pool *pgxpool.Pool
	wake func() // makes the relay publish new events at once
	sent *batch.Batcher[delivery, struct{}]
}

// delivery is a sent mail and its event.
type delivery struct {
	mail domain.Mail
	at   time.Time
	ev   event.Event
}

// sentLimit is the largest number of mails that one statement records as sent. sentWindow is how long a batch
// waits for more.
const (
	sentLimit  = 64
	sentWindow = 5 * time.Millisecond
)

// New returns a Store on the pool. It calls wake after it has written events.
func New(pool *pgxpool.Pool, wake func()) *Store {
	s := &Store{pool: pool, wake: wake}
	s.sent = batch.New(sentLimit, s.runSent, batch.WithWindow(sentWindow))
	return s
}

var (
	//go:embed sql/queue_mails.sql
	sqlQueue string
	//go:embed sql/mails_sent.sql
	sentSQL string

	sqlSent = outbox.WithEvents(sentSQL, 3)
)

// Consume queues the mail that read makes of an event in the consumer's transaction, once per kind and order.
func (s *Store) Consume(read func(event.Event) (domain.Mail, bool, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		m, ok, err := read(e)
		if err == nil && ok {
			postgres.QueueRow(b, sqlQueue, m.ID, string(m.Kind), m.OrderID, m.CreatedAt, m.Traceparent)
		}
		return err
	}
}

// Claim returns at most n due mails. No other process gets them before until.
func (s *Store) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	most := int32(n) //nolint:gosec // at most 256
	rows, err := sqlc.New(s.pool).ClaimMails(ctx, sqlc.ClaimMailsParams{Now: now, Until: until, AtMost: most})
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]domain.Mail, len(rows))
	for i, r := range rows {
		out[i] = domain.Mail{
			ID:          r.ID,
			Kind:        domain.Kind(r.Kind),
			OrderID:     r.OrderID,
			Attempts:    r.Attempts,
			Traceparent: r.Traceparent,
			CreatedAt:   r.CreatedAt,
		}
	}
	return out, nil
}

// Sent records that a mail was sent, with its event, unless another process has claimed the mail since.
// Concurrent callers share a statement.
func (s *Store) Sent(ctx context.Context, m domain.Mail, at time.Time, ev event.Event) error {
	_, err := s.sent.Submit(ctx, delivery{m, at, ev})
	return err
}

func (s *Store) runSent(ctx context.Context, items []delivery) ([]batch.Result[struct{}], error) {
	var rows postgres.Rows
	events := make([]event.Event, len(items))
	for i, it := range items {
		rows.Add(it.mail.ID, it.mail.Attempts, it.at)
		events[i] = it.ev
	}
	if _, err := s.pool.Exec(ctx, sqlSent, append(rows.Args(), outbox.Columns(events...)...)...); err != nil {
		return nil, postgres.Err(err)
	}
	s.wake()
	return make([]batch.Result[struct{}], len(items)), nil
}

// Failed records that a mail failed for good.
func (s *Store) Failed(ctx context.Context, m domain.Mail, reason string) error {
	_, err := sqlc.New(s.pool).MailFailed(ctx, sqlc.MailFailedParams{ID: m.ID, Attempts: m.Attempts, Reason: reason})
	return postgres.Err(err)
}

// Retry records that a mail is due again at the given time. An empty reason keeps the previous one.
func (s *Store) Retry(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	_, err := sqlc.New(s.pool).
		MailAgain(ctx, sqlc.MailAgainParams{ID: m.ID, Attempts: m.Attempts, Reason: reason, At: at})
	return postgres.Err(err)
}
