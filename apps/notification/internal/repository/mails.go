// Package repository keeps mails in PostgreSQL and hands them to a mail server.
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
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// Store keeps mails. Its errors are those of postgres.Err.
type Store struct {
	pool *pgxpool.Pool
	wake func() // the relay, when there are new events
	sent *postgres.Group[delivery, struct{}]
}

// delivery is a mail that was sent.
type delivery struct {
	mail domain.Mail
	at   time.Time
	told event.Event
}

// sentLimit bounds how many mails one statement notes as sent, sentLinger is how long one waits for others.
const (
	sentLimit  = 64
	sentLinger = 5 * time.Millisecond
)

// Open returns the store.
func Open(pool *pgxpool.Pool, wake func()) *Store {
	s := &Store{pool: pool, wake: wake}
	s.sent = postgres.NewGroup(sentLimit, s.runSent, postgres.WithLinger(sentLinger))
	return s
}

//go:embed sql/queue_mails.sql
var sqlQueue string

// Consume takes in events: what read makes of one is queued in the consumer's transaction, once a kind and order.
func (s *Store) Consume(read func(event.Event) (domain.Mail, bool, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		m, ok, err := read(e)
		if err == nil && ok {
			postgres.QueueRows(b, sqlQueue, []string{m.ID}, []string{string(m.Kind)}, []string{m.OrderID}, []time.Time{m.CreatedAt}, []string{m.Traceparent})
		}
		return err
	}
}

// Claim takes at most n mails that are due; nobody else gets them until the time.
func (s *Store) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	rows, err := sqlc.New(s.pool).ClaimMails(ctx, sqlc.ClaimMailsParams{Now: now, Until: until, AtMost: int32(n)}) //nolint:gosec // at most 256
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

// Sent notes that a mail was sent, with its event, unless the mail belongs to somebody else by now. Callers of the
// same moment share a statement.
func (s *Store) Sent(ctx context.Context, m domain.Mail, at time.Time, told event.Event) error {
	_, err := s.sent.Do(ctx, delivery{m, at, told})
	return err
}

func (s *Store) runSent(ctx context.Context, items []delivery) ([]postgres.Result[struct{}], error) {
	var arg sqlc.MailsSentParams
	for _, it := range items {
		metadata, err := json.Marshal(it.told.Metadata)
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "the event's metadata cannot be kept")
		}
		if it.told.Metadata == nil {
			metadata = []byte("{}")
		}
		arg.Ids, arg.Attempts, arg.Ats = append(arg.Ids, it.mail.ID), append(arg.Attempts, it.mail.Attempts), append(arg.Ats, it.at)
		arg.EventIds, arg.Subjects, arg.Types = append(arg.EventIds, it.told.ID), append(arg.Subjects, it.told.Subject), append(arg.Types, it.told.Type)
		arg.Metadatas, arg.Payloads = append(arg.Metadatas, string(metadata)), append(arg.Payloads, it.told.Payload)
	}
	if err := sqlc.New(s.pool).MailsSent(ctx, arg); err != nil {
		return nil, postgres.Err(err)
	}
	s.wake()
	return make([]postgres.Result[struct{}], len(items)), nil
}

// Failed notes that a mail is not tried any more.
func (s *Store) Failed(ctx context.Context, m domain.Mail, reason string) error {
	_, err := sqlc.New(s.pool).MailFailed(ctx, sqlc.MailFailedParams{ID: m.ID, Attempts: m.Attempts, Reason: reason})
	return postgres.Err(err)
}

// Again notes that a mail is tried again at the time; without a reason that of the try before stays.
func (s *Store) Again(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	_, err := sqlc.New(s.pool).MailAgain(ctx, sqlc.MailAgainParams{ID: m.ID, Attempts: m.Attempts, Reason: reason, At: at})
	return postgres.Err(err)
}
