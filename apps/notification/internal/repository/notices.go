// Package repository keeps notices and deliveries in PostgreSQL, with the jobs that make them, and sends them to
// providers.
package repository

import (
	"context"
	_ "embed" // the statements below
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/notification/internal/domain"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/jobs"
	"souk/pkg/outbox"
	"souk/pkg/personal"
	"souk/pkg/postgres"
)

// Store keeps notices and deliveries.
//
// Errors: those of postgres.Err.
type Store struct {
	pool   *pgxpool.Pool
	cipher *personal.Cipher
	wake   func() // makes the relay publish new events at once
	split  *batch.Batcher[split, struct{}]
	sent   *batch.Batcher[sent, struct{}]
	// notices and deliveries read by ID.
	notices    *batch.Batcher[string, domain.Notice]
	deliveries *batch.Batcher[string, domain.Delivery]
	// reserved counts deliveries to recipients.
	reserved *batch.Batcher[reservation, domain.Reservation]
	// perHour returns the most mails that a recipient gets in an hour.
	perHour func() int64
}

// reservation is a delivery that is about to be sent to a recipient.
type reservation struct {
	deliveryID         string
	recipient, mailbox []byte
	at                 time.Time
}

// split is a notice whose deliveries are made.
type split struct {
	noticeID string
	targets  []domain.Target
	at       time.Time
}

// sent is a delivery that a provider has taken, and its event.
type sent struct {
	deliveryID string
	at         time.Time
	ev         event.Event
}

// sentLimit is the largest number of deliveries that one statement records as sent. sentWindow is how long a batch
// waits for more.
const (
	sentLimit  = 64
	sentWindow = 5 * time.Millisecond
)

// New returns a Store on the pool. It calls wake after it has written events. A recipient gets at most perHour() mails
// in an hour.
func New(pool *pgxpool.Pool, cipher *personal.Cipher, perHour func() int64, wake func()) *Store {
	s := &Store{pool: pool, cipher: cipher, wake: wake, perHour: perHour}
	s.split = batch.New(sentLimit, s.runSplit)
	s.sent = batch.New(sentLimit, s.runSent, batch.WithWindow(sentWindow))
	s.reserved = batch.New(sentLimit, s.runReserved)
	s.notices = batch.New(sentLimit, s.readNotices)
	s.deliveries = batch.New(sentLimit, s.readDeliveries)
	return s
}

var (
	//go:embed sql/add_notices.sql
	addNoticesSQL string
	//go:embed sql/add_cancelled.sql
	addCancelledSQL string
	//go:embed sql/add_items.sql
	addItemsSQL string
	//go:embed sql/split_notices.sql
	splitNoticesSQL string
	//go:embed sql/get_notice.sql
	getNotice string
	//go:embed sql/get_delivery.sql
	getDelivery string
	//go:embed sql/end_notice.sql
	endNotice string
	//go:embed sql/notice_failed.sql
	noticeFailed string
	//go:embed sql/end_delivery.sql
	endDelivery string
	//go:embed sql/delivery_failed.sql
	deliveryFailed string
	//go:embed sql/list_due.sql
	listDue string
	//go:embed sql/listed.sql
	listed string
	//go:embed sql/reserve.sql
	reserve string
	//go:embed sql/forget_recipients.sql
	forgetRecipients string
	//go:embed sql/forget_notices.sql
	forgetNotices string
	//go:embed sql/deliveries_sent.sql
	deliveriesSentSQL string

	addNotices     = jobs.WithJobs(addNoticesSQL, maxAttempts)
	addCancelled   = jobs.WithJobs(addCancelledSQL, maxAttempts)
	addItems       = jobs.WithJobs(addItemsSQL, maxAttempts)
	splitNotices   = jobs.WithJobs(splitNoticesSQL, maxAttempts)
	deliveriesSent = outbox.WithEvents(deliveriesSentSQL, 2)
)

// Consume adds the notices that read makes of an event in the consumer's transaction, each once, and the jobs of new
// ones.
func (s *Store) Consume(read func(event.Event) ([]domain.Notice, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		notices, err := read(e)
		if err != nil {
			return err
		}
		for _, n := range notices {
			if err := add(b, n); err != nil {
				return err
			}
		}
		return nil
	}
}

func add(b *pgx.Batch, n domain.Notice) error {
	items, err := json.Marshal(append([]domain.Item{}, n.Items...)) // [] and not null
	if err != nil {
		return err
	}
	// Not merged with others: it must find the confirmation, which is queued before.
	if n.Kind == domain.OrderCancelled {
		b.Queue(addCancelled, n.ID, n.OrderID, n.About, string(items), n.CreatedAt, n.Traceparent, n.Unasked)
		return nil
	}
	if n.Kind.Rule().Hourly > 0 {
		item, err := json.Marshal(n.Items[0])
		if err == nil {
			postgres.QueueRow(b, addItems,
				n.ID, string(n.Kind), n.ShopID, string(item), n.DueAt, n.CreatedAt, n.Traceparent)
		}
		return err
	}
	postgres.QueueRow(b, addNotices,
		n.ID, string(n.Kind), n.OrderID, n.About, n.ShopID, string(items), n.DueAt, n.CreatedAt, n.Traceparent)
	return nil
}

// Notice returns a notice. Concurrent callers share a statement.
//
// Errors: not_found.
func (s *Store) Notice(ctx context.Context, noticeID string) (domain.Notice, error) {
	return s.notices.Submit(ctx, noticeID)
}

func (s *Store) readNotices(ctx context.Context, ids []string) ([]batch.Result[domain.Notice], error) {
	return read(ctx, s.pool, getNotice, ids, func(n *domain.Notice) ([]any, *string) { return columns(n), &n.ID })
}

// Delivery returns a delivery with its notice. Concurrent callers share a statement.
//
// Errors: not_found.
func (s *Store) Delivery(ctx context.Context, deliveryID string) (domain.Delivery, error) {
	return s.deliveries.Submit(ctx, deliveryID)
}

func (s *Store) readDeliveries(ctx context.Context, ids []string) ([]batch.Result[domain.Delivery], error) {
	return read(ctx, s.pool, getDelivery, ids, func(d *domain.Delivery) ([]any, *string) {
		p := &d.Preferences
		return append(columns(&d.Notice), &d.ID, &d.Channel, &d.Recipient, &d.State, &d.CreatedAt,
			&p.Kinds, &p.Quiet.From, &p.Quiet.To, &p.Quiet.TimeZone), &d.ID
	})
}

// read reads rows by ID. Fields returns where the columns of a row go, and its ID.
func read[T any](
	ctx context.Context, pool *pgxpool.Pool, sql string, ids []string, fields func(*T) (into []any, id *string),
) ([]batch.Result[T], error) {
	rows, err := pool.Query(ctx, sql, ids)
	if err != nil {
		return nil, postgres.Err(err)
	}
	defer rows.Close()
	found := map[string]T{}
	for rows.Next() {
		var v T
		into, rowID := fields(&v)
		if err := rows.Scan(into...); err != nil {
			return nil, postgres.Err(err)
		}
		found[*rowID] = v
	}
	if rows.Err() != nil {
		return nil, postgres.Err(rows.Err())
	}
	results := make([]batch.Result[T], len(ids))
	for i, one := range ids {
		var ok bool
		if results[i].Value, ok = found[one]; !ok {
			results[i].Err = errs.New(errs.NotFound, "there is no such notice or delivery")
		}
	}
	return results, nil
}

func columns(n *domain.Notice) []any {
	return []any{&n.ID, &n.Kind, &n.OrderID, &n.About, &n.ShopID, &n.Items, &n.State, &n.Traceparent, &n.CreatedAt}
}

// Split ends a notice with a delivery for each target, and their jobs. Concurrent callers share a statement.
func (s *Store) Split(ctx context.Context, n domain.Notice, targets []domain.Target, at time.Time) error {
	_, err := s.split.Submit(ctx, split{n.ID, targets, at})
	return err
}

func (s *Store) runSplit(ctx context.Context, items []split) ([]batch.Result[struct{}], error) {
	var notices, deliveries postgres.Rows
	for _, it := range items {
		notices.Add(it.noticeID, it.at)
		for _, t := range it.targets {
			deliveries.Add(it.noticeID, id.New(id.Delivery), string(t.Channel), t.Recipient)
		}
	}
	_, err := s.pool.Exec(ctx, splitNotices, append(notices.Args(), deliveries.Args()...)...)
	if err != nil {
		return nil, postgres.Err(err)
	}
	return make([]batch.Result[struct{}], len(items)), nil
}

// EndNotice records that a notice failed for good, or is not needed.
func (s *Store) EndNotice(ctx context.Context, noticeID string, state domain.State, reason string, at time.Time) error {
	_, err := s.pool.Exec(ctx, endNotice, noticeID, state, reason, at)
	return postgres.Err(err)
}

// NoticeFailed records why an attempt at a notice failed.
func (s *Store) NoticeFailed(ctx context.Context, noticeID, reason string) error {
	_, err := s.pool.Exec(ctx, noticeFailed, noticeID, reason)
	return postgres.Err(err)
}

// EndDelivery records that a delivery failed for good, or is not needed.
func (s *Store) EndDelivery(
	ctx context.Context, deliveryID string, state domain.State, reason string, at time.Time,
) error {
	_, err := s.pool.Exec(ctx, endDelivery, deliveryID, state, reason, at)
	return postgres.Err(err)
}

// DeliveryFailed records why an attempt at a delivery failed.
func (s *Store) DeliveryFailed(ctx context.Context, deliveryID, reason string) error {
	_, err := s.pool.Exec(ctx, deliveryFailed, deliveryID, reason)
	return postgres.Err(err)
}

// Sent records that a provider has taken a delivery, with its event. Concurrent callers share a statement.
func (s *Store) Sent(ctx context.Context, deliveryID string, at time.Time, ev event.Event) error {
	_, err := s.sent.Submit(ctx, sent{deliveryID, at, ev})
	return err
}

func (s *Store) runSent(ctx context.Context, items []sent) ([]batch.Result[struct{}], error) {
	var rows postgres.Rows
	events := make([]event.Event, len(items))
	for i, it := range items {
		rows.Add(it.deliveryID, it.at)
		events[i] = it.ev
	}
	args := append(rows.Args(), outbox.Columns(events...)...)
	if _, err := s.pool.Exec(ctx, deliveriesSent, args...); err != nil {
		return nil, postgres.Err(err)
	}
	s.wake()
	return make([]batch.Result[struct{}], len(items)), nil
}

// ListDue returns when a shop may get another list of a kind. It is the zero time if there were not many.
func (s *Store) ListDue(ctx context.Context, kind domain.Kind, shopID string) (due time.Time, err error) {
	err = s.pool.QueryRow(ctx, listDue, kind, shopID, kind.Rule().Hourly).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return due, postgres.Err(err)
}

// Listed reports whether the owners of a shop had a notice of a shop order before a time.
func (s *Store) Listed(ctx context.Context, shopOrderID string, before time.Time) (yes bool, err error) {
	err = s.pool.QueryRow(ctx, listed, shopOrderID, before).Scan(&yes)
	return yes, postgres.Err(err)
}

// Reserve counts a delivery to a recipient, unless the recipient has got too many in the last hour or the mailbox is
// suppressed; an empty one never is. Each attempt reserves; a delivery counts once.
func (s *Store) Reserve(
	ctx context.Context, deliveryID string, recipient, mailbox []byte, at time.Time,
) (domain.Reservation, error) {
	return s.reserved.Submit(ctx, reservation{deliveryID, recipient, mailbox, at})
}

// lockRecipients lets one transaction at a time count deliveries: one that counts must see all others.
const lockRecipients = "select pg_advisory_xact_lock(hashtextextended('recipient_mail', 0))"

func (s *Store) runReserved(ctx context.Context, items []reservation) ([]batch.Result[domain.Reservation], error) {
	results := make([]batch.Result[domain.Reservation], len(items))
	err := postgres.InBatches(ctx, s.pool, []string{lockRecipients}, func(tx *postgres.Batches) error {
		b, most := &pgx.Batch{}, s.perHour()
		for i, it := range items {
			b.Queue(reserve, it.deliveryID, it.recipient, it.at, most, it.mailbox).QueryRow(func(row pgx.Row) error {
				var counted, suppressed bool
				err := row.Scan(&counted, &suppressed)
				switch {
				case suppressed:
					results[i].Value = domain.Suppressed
				case !counted:
					results[i].Value = domain.TooMany
				}
				return err
			})
		}
		return tx.Commit(ctx, b)
	})
	return results, postgres.Err(err)
}

// ForgetRecipients deletes at most limit counts of mails that were sent before the given time, and returns how many.
func (s *Store) ForgetRecipients(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, forgetRecipients, before, limit)
	return int(tag.RowsAffected()), postgres.Err(err)
}

// ForgetNotices deletes at most limit notices that ended before the given time, with their deliveries, and returns how
// many.
func (s *Store) ForgetNotices(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, forgetNotices, before, limit)
	return int(tag.RowsAffected()), postgres.Err(err)
}
