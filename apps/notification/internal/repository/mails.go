// Package repository keeps mails in PostgreSQL and sends them to a mail server.
package repository

import (
	"context"
	_ "embed" // the statements below
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/event"
	"souk/pkg/id"
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
	// reserved counts mails to recipients; false: the recipient has got too many.
	reserved *batch.Batcher[reservation, bool]
	// perHour is the most mails that a recipient gets in an hour.
	perHour int
}

// reservation is a mail that is about to be sent to a recipient.
type reservation struct {
	mailID    string
	recipient []byte
	at        time.Time
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

// New returns a Store on the pool. It calls wake after it has written events. A recipient gets at most perHour mails
// in an hour.
func New(pool *pgxpool.Pool, perHour int, wake func()) *Store {
	s := &Store{pool: pool, wake: wake, perHour: perHour}
	s.sent = batch.New(sentLimit, s.runSent, batch.WithWindow(sentWindow))
	s.reserved = batch.New(sentLimit, s.runReserved)
	return s
}

var (
	//go:embed sql/queue_mails.sql
	sqlQueue string
	//go:embed sql/queue_cancelled.sql
	sqlQueueCancelled string
	//go:embed sql/add_items.sql
	sqlAddItems string
	//go:embed sql/reserve.sql
	sqlReserve string
	//go:embed sql/mails_sent.sql
	sentSQL string

	sqlSent = outbox.WithEvents(sentSQL, 3)
)

// Consume queues the mails that read makes of an event in the consumer's transaction, each once.
func (s *Store) Consume(read func(event.Event) ([]domain.Mail, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		mails, err := read(e)
		if err != nil {
			return err
		}
		for _, m := range mails {
			if err := queue(b, m); err != nil {
				return err
			}
		}
		return nil
	}
}

func queue(b *pgx.Batch, m domain.Mail) error {
	items, err := json.Marshal(append([]domain.Item{}, m.Items...)) // [] and not null
	if err != nil {
		return err
	}
	if m.Kind == domain.OrderCancelled { // not merged with others: it must find the confirmation, which is queued before
		b.Queue(sqlQueueCancelled, m.ID, m.OrderID, m.About, string(items), m.CreatedAt, m.Traceparent,
			m.Unasked)
		return nil
	}
	if hourly := m.Kind.Hourly(); hourly > 0 {
		item, err := json.Marshal(m.Items[0])
		if err == nil {
			postgres.QueueRow(b, sqlAddItems,
				m.ID, string(m.Kind), m.ShopID, string(item), m.DueAt, m.CreatedAt, hourly, m.Traceparent)
		}
		return err
	}
	postgres.QueueRow(b, sqlQueue, m.ID, string(m.Kind), m.OrderID, m.About, m.ShopID, string(items),
		m.DueAt, m.CreatedAt, m.Traceparent)
	return nil
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
			About:       r.About,
			ShopID:      r.ShopID,
			UserID:      r.UserID,
			Attempts:    r.Attempts,
			Traceparent: r.Traceparent,
			CreatedAt:   r.CreatedAt,
		}
		if err := json.Unmarshal(r.Items, &out[i].Items); err != nil {
			return nil, err
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
	return s.end(ctx, m, "failed", reason)
}

// Skipped records that a mail is not needed any more.
func (s *Store) Skipped(ctx context.Context, m domain.Mail, reason string) error {
	return s.end(ctx, m, "skipped", reason)
}

func (s *Store) end(ctx context.Context, m domain.Mail, state, reason string) error {
	arg := sqlc.EndMailParams{ID: m.ID, Attempts: m.Attempts, State: state, Reason: reason}
	_, err := sqlc.New(s.pool).EndMail(ctx, arg)
	return postgres.Err(err)
}

// Split replaces a mail to a shop by one for each of its owners.
func (s *Store) Split(ctx context.Context, m domain.Mail, userIDs []string, at time.Time) error {
	ids := make([]string, len(userIDs))
	for i := range ids {
		ids[i] = id.New(id.Mail)
	}
	_, err := sqlc.New(s.pool).SplitMail(ctx, sqlc.SplitMailParams{
		ID: m.ID, Attempts: m.Attempts, Now: at, Ids: ids, UserIds: userIDs,
	})
	return postgres.Err(err)
}

// Reserve counts a mail to a recipient. It returns false, and does not count it, if the recipient has got too many
// mails in the last hour. Each attempt to send a mail reserves; a mail counts once.
func (s *Store) Reserve(ctx context.Context, m domain.Mail, recipient []byte, at time.Time) (bool, error) {
	return s.reserved.Submit(ctx, reservation{m.ID, recipient, at})
}

// lockRecipients lets one transaction at a time count mails: one that counts must see all others.
const lockRecipients = "select pg_advisory_xact_lock(hashtextextended('recipient_mail', 0))"

func (s *Store) runReserved(ctx context.Context, items []reservation) ([]batch.Result[bool], error) {
	results := make([]batch.Result[bool], len(items))
	err := postgres.InBatches(ctx, s.pool, []string{lockRecipients}, func(tx *postgres.Batches) error {
		b := &pgx.Batch{}
		for i, it := range items {
			b.Queue(sqlReserve, it.mailID, it.recipient, it.at, s.perHour).Exec(func(tag pgconn.CommandTag) error {
				results[i].Value = tag.RowsAffected() > 0
				return nil
			})
		}
		return tx.Commit(ctx, b)
	})
	return results, postgres.Err(err)
}

// ForgetRecipients deletes at most limit counts of mails that were sent before the given time, and returns how many.
func (s *Store) ForgetRecipients(ctx context.Context, before time.Time, limit int) (int, error) {
	arg := sqlc.ForgetRecipientsParams{Before: before, Most: int32(limit)} //nolint:gosec // a constant
	n, err := sqlc.New(s.pool).ForgetRecipients(ctx, arg)
	return int(n), postgres.Err(err)
}

// Retry records that a mail is due again at the given time. An empty reason keeps the previous one.
func (s *Store) Retry(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	_, err := sqlc.New(s.pool).
		MailAgain(ctx, sqlc.MailAgainParams{ID: m.ID, Attempts: m.Attempts, Reason: reason, At: at})
	return postgres.Err(err)
}
