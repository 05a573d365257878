// Package repository keeps mails in PostgreSQL and sends them to a mail server.
package repository

import (
	"context"
	_ "embed" // the statement below
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Store keeps mails. Errors: those of postgres.Err.
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

// Open returns a Store on the pool. It calls wake after it has written events.
func Open(pool *pgxpool.Pool, wake func()) *Store {
	s := &Store{pool: pool, wake: wake}
	s.sent = batch.New(sentLimit, s.runSent, batch.WithWindow(sentWindow))
	return s
}

//go:embed sql/queue_mails.sql
var sqlQueue string

// Consume queues the mail that read makes of an event in the consumer's transaction, once per kind and order.
func (s *Store) Consume(read func(event.Event) (domain.Mail, bool, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		m, ok, err := read(e)
		if err == nil && ok {
			postgres.QueueRows(
				b,
				sqlQueue,
				[]string{m.ID},
				[]string{string(m.Kind)},
				[]string{m.OrderID},
				[]time.Time{m.CreatedAt},
				[]string{m.Traceparent},
			)
		}
		return err
	}
}

// Claim returns at most n due mails. No other process gets them before until.
func (s *Store) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	rows, err := sqlc.New(s.pool).
		ClaimMails(ctx, sqlc.ClaimMailsParams{Now: now, Until: until, AtMost: int32(n)})
		//nolint:gosec // at most 256
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
	var arg sqlc.MailsSentParams
	for _, it := range items {
		metadata, err := json.Marshal(it.ev.Metadata)
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "the event's metadata cannot be kept")
		}
		if it.ev.Metadata == nil {
			metadata = []byte("{}")
		}
		arg.Ids, arg.Attempts, arg.Ats = append(
			arg.Ids,
			it.mail.ID,
		), append(
			arg.Attempts,
			it.mail.Attempts,
		), append(
			arg.Ats,
			it.at,
		)
		arg.EventIds, arg.Subjects, arg.Types = append(
			arg.EventIds,
			it.ev.ID,
		), append(
			arg.Subjects,
			it.ev.Subject,
		), append(
			arg.Types,
			it.ev.Type,
		)
		arg.Metadatas, arg.Payloads = append(arg.Metadatas, string(metadata)), append(arg.Payloads, it.ev.Payload)
	}
	if err := sqlc.New(s.pool).MailsSent(ctx, arg); err != nil {
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
