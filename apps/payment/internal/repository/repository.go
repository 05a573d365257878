// Package repository keeps payments in PostgreSQL.
//
// The writes of a checkout (a payment, its authorization, its capture) are batched: concurrent callers share
// one statement, which is its own transaction and also inserts their events.
package repository

import (
	"context"
	_ "embed"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// batchLimit is the largest number of callers that share one statement. batchParallel is the number of
// statements in flight: with one, callers that arrive meanwhile form the next batch. A second one would halve
// the batches and save no time.
const (
	batchLimit    = 128
	batchParallel = 1
)

// RefundEvent makes the event of a refund that is done; p is the payment after the refund.
type RefundEvent = func(p domain.Payment, amount money.Money) (event.Event, error)

// Store is service.Store in PostgreSQL.
type Store struct {
	pool *pgxpool.Pool
	q    *sqlc.Queries
	// wake makes the relay publish new events at once.
	wake func()

	initiates   *batch.Batcher[initiate, bool]
	transitions *batch.Batcher[Transition, *domain.Payment]
	byOrder     *batch.Batcher[string, *domain.Payment]
}

type initiate struct {
	p  domain.Payment
	ev event.Event
}

// Transition is a transition with its event. An event without ID is none.
type Transition struct {
	domain.Transition
	Event event.Event
}

var (
	//go:embed sql/initiate.sql
	initiateSQL string
	//go:embed sql/open.sql
	sqlOpen string
	//go:embed sql/apply.sql
	applySQL string

	sqlInitiate, sqlApply = outbox.WithEvents(initiateSQL, 10), outbox.WithEvents(applySQL, 6)
)

// New returns a Store on the pool. It calls wake after it has written events.
func New(pool *pgxpool.Pool, wake func()) *Store {
	s := &Store{pool: pool, q: sqlc.New(pool), wake: wake}
	parallel := batch.WithParallel(batchParallel)
	s.initiates = batch.New(batchLimit, s.runInitiate, parallel)
	s.transitions = batch.New(batchLimit, s.runApply, parallel)
	s.byOrder = batch.New(batchLimit, s.runByOrder, parallel)
	return s
}

// Initiate implements service.Store.
func (s *Store) Initiate(ctx context.Context, p domain.Payment, ev event.Event) (domain.Payment, error) {
	made, err := s.initiates.Submit(ctx, initiate{p, ev})
	if err != nil || made {
		return p, err
	}
	return s.ByOrder(ctx, p.OrderID)
}

func (s *Store) runInitiate(ctx context.Context, items []initiate) ([]batch.Result[bool], error) {
	// Of several callers for one order only the first inserts; the others find its row. Rows are inserted in
	// the order of their keys, so that two statements cannot deadlock.
	first := make([]int, 0, len(items))
	seen := make(map[string]bool, len(items))
	for i, it := range items {
		if !seen[it.p.OrderID] {
			seen[it.p.OrderID] = true
			first = append(first, i)
		}
	}
	slices.SortFunc(first, func(a, b int) int { return cmpString(items[a].p.OrderID, items[b].p.OrderID) })
	var rows postgres.Rows
	events := make([]event.Event, len(first))
	for n, i := range first {
		p := items[i].p
		rows.Add(p.ID, p.OrderID, p.CustomerID, string(p.Status), string(p.Method), string(p.Amount.Currency()),
			p.Amount.Minor(), p.Provider, p.RequestHash[:], p.CreatedAt)
		events[n] = items[i].ev
	}
	found, err := s.pool.Query(ctx, sqlInitiate, append(rows.Args(), outbox.Columns(events...)...)...)
	if err != nil {
		return nil, postgres.Err(err)
	}
	ids, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (id string, err error) {
		err = row.Scan(&id, nil)
		return id, err
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	s.wake()
	made := make(map[string]bool, len(ids))
	for _, id := range ids {
		made[id] = true
	}
	out := make([]batch.Result[bool], len(items))
	for i, it := range items {
		out[i].Value = made[it.p.ID]
	}
	return out, nil
}

// CreateTombstone implements service.Store.
func (s *Store) CreateTombstone(ctx context.Context, p domain.Payment) (domain.Payment, error) {
	arg := sqlc.BuryParams{ID: p.ID, OrderID: p.OrderID, RequestHash: p.RequestHash[:], At: p.CreatedAt}
	n, err := s.q.Bury(ctx, arg)
	if err != nil || n == 1 {
		return p, postgres.Err(err)
	}
	return s.ByOrder(ctx, p.OrderID)
}

// Apply implements service.Store.
func (s *Store) Apply(ctx context.Context, t domain.Transition, ev event.Event) (domain.Payment, error) {
	p, err := s.transitions.Submit(ctx, Transition{t, ev})
	if err != nil || p != nil {
		return deref(p), err
	}
	return s.ByID(ctx, t.PaymentID)
}

func (s *Store) runApply(ctx context.Context, items []Transition) ([]batch.Result[*domain.Payment], error) {
	out := make([]batch.Result[*domain.Payment], len(items))
	rest := make([]int, len(items))
	for i := range items {
		rest[i] = i
	}
	// One statement moves a payment once, so the second transition of one payment goes into the next.
	for len(rest) > 0 {
		var again []int
		now := make(map[string]int, len(rest))
		for _, i := range rest {
			if _, taken := now[items[i].PaymentID]; taken {
				again = append(again, i)
			} else {
				now[items[i].PaymentID] = i
			}
		}
		pending := make([]Transition, 0, len(now))
		for _, i := range now {
			pending = append(pending, items[i])
		}
		moved, err := ApplyAll(ctx, s.pool, pending)
		if err != nil {
			return nil, err
		}
		for _, p := range moved {
			out[now[p.ID]].Value = &p
		}
		rest = again
	}
	s.wake()
	return out, nil
}

// ApplyAll makes those of the transitions that are allowed, in one statement, and returns their payments. It makes one
// transition a payment.
func ApplyAll(ctx context.Context, db postgres.Querier, items []Transition) ([]domain.Payment, error) {
	var rows postgres.Rows
	var events []event.Event
	for _, it := range items {
		rows.Add(it.PaymentID, string(it.Status), froms(it.Status), it.ProviderRef, it.Reason, it.At)
		if it.Event.ID != "" {
			events = append(events, it.Event)
		}
	}
	moved, err := db.Query(ctx, sqlApply, append(rows.Args(), outbox.Columns(events...)...)...)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(moved, func(row pgx.CollectableRow) (domain.Payment, error) {
		r, err := pgx.RowToStructByPos[sqlc.ByIDRow](row)
		return payment(r), err
	})
	return out, postgres.Err(err)
}

// ByOrder implements service.Store.
func (s *Store) ByOrder(ctx context.Context, orderID string) (domain.Payment, error) {
	p, err := s.byOrder.Submit(ctx, orderID)
	if err == nil && p == nil {
		err = errs.New(errs.NotFound, "there is no such payment")
	}
	return deref(p), err
}

func (s *Store) runByOrder(ctx context.Context, orderIDs []string) ([]batch.Result[*domain.Payment], error) {
	rows, err := s.q.ByOrders(ctx, orderIDs)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[string]*domain.Payment, len(rows))
	for _, r := range rows {
		p := payment(sqlc.ByIDRow(r))
		found[p.OrderID] = &p
	}
	out := make([]batch.Result[*domain.Payment], len(orderIDs))
	for i, orderID := range orderIDs {
		out[i].Value = found[orderID]
	}
	return out, nil
}

// ByID implements service.Store.
func (s *Store) ByID(ctx context.Context, paymentID string) (domain.Payment, error) {
	r, err := s.q.ByID(ctx, paymentID)
	return payment(r), postgres.Err(err)
}

// ByIDs implements service.Store.
func (s *Store) ByIDs(ctx context.Context, paymentIDs []string) (map[string]domain.Payment, error) {
	rows, err := s.q.ByIDs(ctx, paymentIDs)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make(map[string]domain.Payment, len(rows))
	for _, r := range rows {
		out[r.ID] = payment(sqlc.ByIDRow(r))
	}
	return out, nil
}

// Owned implements service.Store.
func (s *Store) Owned(ctx context.Context, paymentID, customerID string) (domain.Payment, error) {
	r, err := s.q.Owned(ctx, sqlc.OwnedParams{ID: paymentID, CustomerID: customerID})
	return payment(sqlc.ByIDRow(r)), postgres.Err(err)
}

// Adopt implements service.Store.
func (s *Store) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return postgres.Err(s.q.Adopt(ctx, sqlc.AdoptParams{GuestID: guestID, UserID: userID, OrderIds: orderIDs}))
}

// RequestVoid implements service.Store.
func (s *Store) RequestVoid(ctx context.Context, paymentID string, at time.Time) error {
	_, err := s.q.RequestVoid(ctx, sqlc.RequestVoidParams{ID: paymentID, At: at})
	return postgres.Err(err)
}

// AskOpen implements service.Store.
func (s *Store) AskOpen(ctx context.Context, before, at time.Time, limit int) ([]domain.Payment, error) {
	arg := sqlc.AskOpenParams{Before: before, At: at, Batch: int32(limit)} //nolint:gosec // a batch is small
	rows, err := s.q.AskOpen(ctx, arg)
	out := make([]domain.Payment, len(rows))
	for i, r := range rows {
		out[i] = payment(sqlc.ByIDRow(r))
	}
	return out, postgres.Err(err)
}

// Open implements service.Store.
func (s *Store) Open(ctx context.Context, now time.Time) (payments, refunds int64, oldest time.Duration, err error) {
	var seconds float64
	err = s.pool.QueryRow(ctx, sqlOpen, now).Scan(&payments, &refunds, &seconds)
	return payments, refunds, time.Duration(seconds * float64(time.Second)), postgres.Err(err)
}

// inTx runs f in one transaction, and then wakes the relay.
func (s *Store) inTx(ctx context.Context, f func(q *sqlc.Queries, tx pgx.Tx) error) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error { return f(s.q.WithTx(tx), tx) })
	s.wake()
	return err
}

func payment(r sqlc.ByIDRow) domain.Payment {
	p := domain.Payment{
		ID:            r.ID,
		OrderID:       r.OrderID,
		CustomerID:    r.CustomerID,
		Status:        domain.Status(r.Status),
		Method:        domain.Method(r.Method),
		Captured:      r.Captured,
		Refunded:      r.Refunded,
		RefundClaimed: r.RefundClaimed,
		Waived:        r.Waived,
		Provider:      r.Provider,
		ProviderRef:   r.ProviderRef,
		FailureReason: r.FailureReason,
		VoidRequested: r.VoidRequested,
		Version:       r.Version,
		CreatedAt:     r.CreatedAt,
		UpdatedAt:     r.UpdatedAt,
	}
	if r.Currency != "" {
		p.Amount = money.New(r.Amount, money.Currency(r.Currency))
	}
	copy(p.RequestHash[:], r.RequestHash)
	return p
}

func deref(p *domain.Payment) domain.Payment {
	if p == nil {
		return domain.Payment{}
	}
	return *p
}
