// Package repository stores orders in PostgreSQL.
//
// A checkout writes three times: its rows and its saga (Starts.Create, batched over concurrent callers), the
// confirmation (in a saga's batch), and the payment's updates (in a consumer's batch).
package repository

import (
	"context"
	"embed"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/outbox"
	"souk/pkg/personal"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

//go:embed sql/*.sql
var statements embed.FS

func statement(name string) string {
	b, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // it is embedded above
	}
	return string(b)
}

// Batch limits: keyLimit for lookups of idempotency keys, readLimit for reads of orders.
const (
	keyLimit  = 128
	readLimit = 64
)

// Store reads orders and stores the changes of sagas and consumers.
type Store struct {
	pool   *pgxpool.Pool
	q      *sqlc.Queries
	cipher *personal.Cipher
	wake   func()
	keys   *batch.Batcher[key, *domain.Attempt]
	byID   *batch.Batcher[string, *domain.Order]

	standings *batch.Batcher[standing, domain.Standing]

	confirm, payments, sales, lost string
}

type key struct{ customerID, idemKey string }

// New returns a Store on the pool. It calls wake whenever it has written events.
func New(pool *pgxpool.Pool, cipher *personal.Cipher, wake func()) *Store {
	s := &Store{
		pool:     pool,
		q:        sqlc.New(pool),
		cipher:   cipher,
		wake:     wake,
		confirm:  statement("confirm"),
		lost:     statement("lost"),
		payments: statement("apply_payments"),
		sales:    statement("count_sales"),
	}
	s.keys = batch.New(keyLimit, s.runKeys, batch.WithParallel(2))
	s.byID = batch.New(readLimit, s.runByID, batch.WithParallel(2))
	s.standings = batch.New(keyLimit, s.runStandings, batch.WithParallel(2))
	return s
}

// PartOwner returns the order and the shop of a shop order.
//
// Errors: not_found.
func (s *Store) PartOwner(ctx context.Context, partID string) (orderID, shopID string, err error) {
	r, err := s.q.PartOwner(ctx, partID)
	return r.OrderID, r.ShopID, postgres.Err(err)
}

// ByKey returns the checkout of a customer's idempotency key.
//
// Errors: not_found.
func (s *Store) ByKey(ctx context.Context, customerID, idemKey string) (domain.Attempt, error) {
	a, err := s.keys.Submit(ctx, key{customerID, idemKey})
	if err != nil {
		return domain.Attempt{}, err
	}
	if a == nil {
		return domain.Attempt{}, errs.New(errs.NotFound, "the key is new")
	}
	return *a, nil
}

func (s *Store) runKeys(ctx context.Context, items []key) ([]batch.Result[*domain.Attempt], error) {
	var arg sqlc.ByKeysParams
	for _, k := range items {
		arg.CustomerIds, arg.IdemKeys = append(arg.CustomerIds, k.customerID), append(arg.IdemKeys, k.idemKey)
	}
	rows, err := s.q.ByKeys(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[key]*domain.Attempt, len(rows))
	for _, r := range rows {
		a := domain.Attempt{OrderID: r.ID, CustomerID: r.CustomerID, Status: domain.Status(r.Status)}
		copy(a.RequestHash[:], r.RequestHash)
		if r.Refused {
			a.Refusal = &domain.Refusal{Code: errs.Code(r.CancelCode), Message: r.CancelReason}
			if err := json.Unmarshal(r.CancelFields, &a.Refusal.Fields); err != nil {
				return nil, unreadable(err)
			}
		}
		found[key{r.CustomerID, r.IdemKey}] = &a
	}
	out := make([]batch.Result[*domain.Attempt], len(items))
	for i, k := range items {
		out[i].Value = found[k]
	}
	return out, nil
}

// KeepRefusal stores, for the request's key, that the request was refused before an order was written.
//
// Errors: already_exists (the key has an order or another refusal, perhaps of a concurrent request).
func (s *Store) KeepRefusal(ctx context.Context, r domain.Request, why domain.Refusal, at time.Time) error {
	fields, err := fieldsOf(why)
	if err != nil {
		return err
	}
	hash := r.Hash()
	return s.inTx(ctx, func(q *sqlc.Queries, _ pgx.Tx) error {
		n, err := q.KeepRefusal(ctx, sqlc.KeepRefusalParams{
			ID:            id.New(id.Order),
			CustomerID:    r.CustomerID,
			IdemKey:       r.IdemKey,
			RequestHash:   hash[:],
			PaymentMethod: r.PaymentMethod,
			CancelCode:    string(why.Code),
			CancelReason:  why.Message,
			CancelFields:  fields,
			At:            at,
		})
		switch {
		case err != nil:
			return postgres.Err(err)
		case n == 0:
			return keyTaken()
		}
		return trimRefused(ctx, q, r.CustomerID)
	})
}

// keptRefusals is how many refused checkouts of a customer are kept. They answer retries that the gateway does not.
const keptRefusals = 20

// trimRefused deletes a customer's older refused checkouts, so that one who is refused again and again leaves few rows.
func trimRefused(ctx context.Context, q *sqlc.Queries, customerID string) error {
	return postgres.Err(q.TrimRefused(ctx, sqlc.TrimRefusedParams{CustomerID: customerID, Keep: keptRefusals}))
}

// HasOrder reports whether a customer has a confirmed order that was not cancelled.
func (s *Store) HasOrder(ctx context.Context, customerID string) (bool, error) {
	has, err := s.q.HasOrder(ctx, customerID)
	return has, postgres.Err(err)
}

// OrdersOf returns the IDs of at most limit orders of a customer, including refused checkouts.
func (s *Store) OrdersOf(ctx context.Context, customerID string, limit int) ([]string, error) {
	arg := sqlc.CustomersOrdersParams{CustomerID: customerID, Limit: int32(limit)} //nolint:gosec // a batch is small
	ids, err := s.q.CustomersOrders(ctx, arg)
	return ids, postgres.Err(err)
}

// FindPurchase returns the shop from which a customer has bought a product, or "".
func (s *Store) FindPurchase(ctx context.Context, customerID, productID string) (string, error) {
	shopID, err := s.q.FindPurchase(ctx, sqlc.FindPurchaseParams{CustomerID: customerID, ProductID: productID})
	return shopID, postgres.Err(err)
}

// Adopt transfers those of the orders that belong to the guest to the user.
func (s *Store) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return postgres.Err(s.q.Adopt(ctx, sqlc.AdoptParams{GuestID: guestID, UserID: userID, Ids: orderIDs}))
}

// fieldsOf encodes the refusal's fields for the database.
func fieldsOf(why domain.Refusal) ([]byte, error) {
	fields, err := json.Marshal(append([]errs.Field{}, why.Fields...))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "the refusal cannot be kept")
	}
	return fields, nil
}

// CheckoutEnded reports whether the saga of the order's checkout has ended.
//
// Errors: conflict (the saga is parked and needs an operator).
func (s *Store) CheckoutEnded(ctx context.Context, orderID string) (bool, error) {
	state, err := s.q.SagaState(ctx, orderID)
	switch err = postgres.Err(err); {
	case errs.Is(err, errs.NotFound):
		return true, nil // it ended so long ago that its row was deleted
	case err != nil:
		return false, err
	}
	switch saga.State(state) {
	case saga.Done, saga.Compensated:
		return true, nil
	case saga.Parked:
		return false, errs.New(errs.Conflict, "the checkout of this order is held up; our staff is looking into it")
	default:
		return false, nil
	}
}

// ClaimHolders returns the orders that hold a claim of a cart.
func (s *Store) ClaimHolders(ctx context.Context, claimIDs []string) ([]domain.ClaimHolder, error) {
	rows, err := s.q.ClaimHolders(ctx, claimIDs)
	out := make([]domain.ClaimHolder, len(rows))
	for i, r := range rows {
		out[i] = domain.ClaimHolder{
			OrderID: r.ID, CartOwnerID: r.CartOwnerID, CartVersion: r.CartVersion, Confirmed: r.Confirmed,
		}
	}
	return out, postgres.Err(err)
}

// Refuse cancels the order of a refused checkout, gives back its claims of the cart, and appends newEvent's event.
// Repeating it has no effect.
func (s *Store) Refuse(
	ctx context.Context, orderID string, claimIDs []string, why domain.Refusal, at time.Time,
	newEvent func(version int64) (event.Event, error),
) error {
	fields, err := fieldsOf(why)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		refused, err := q.Refuse(ctx, sqlc.RefuseParams{
			ID:           orderID,
			CancelCode:   string(why.Code),
			CancelReason: why.Message,
			CancelFields: fields,
			FreeKey:      why.Fault,
			At:           at,
		})
		switch err = postgres.Err(err); {
		case errs.Is(err, errs.NotFound):
			return nil // it was refused already
		case err != nil:
			return err
		}
		if err := q.RefuseParts(ctx, orderID); err != nil {
			return postgres.Err(err)
		}
		if err := q.ReleaseCarts(ctx, sqlc.ReleaseCartsParams{OwnerIds: claimIDs, OrderID: orderID}); err != nil {
			return postgres.Err(err)
		}
		if err := trimRefused(ctx, q, refused.CustomerID); err != nil {
			return err
		}
		ev, err := newEvent(refused.Version)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, ev)
	})
}

// ForgetRefused deletes at most most refused checkouts that began in [from, before), and returns their number.
func (s *Store) ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error) {
	n, err := s.q.ForgetRefused(ctx, sqlc.ForgetRefusedParams{
		First: id.At(id.Order, from), Before: id.At(id.Order, before),
		Most: int32(most), //nolint:gosec // a batch is small
	})
	return int(n), postgres.Err(err)
}

// ConfirmStep returns the pivot of a checkout, which confirms the order and its shop orders with the values of
// confirmation.
func (s *Store) ConfirmStep(
	name string, confirmation func(*saga.Run) (domain.Confirmation, event.Event, error),
) saga.Step {
	return saga.Step{Name: name, Pivot: true, Written: s.wake, Batch: func(r *saga.Run, b *pgx.Batch) error {
		c, ev, err := confirmation(r)
		if err != nil {
			return err
		}
		postgres.QueueRow(b, s.confirm, r.ID(), c.At, c.Payment.ID, c.Payment.Status)
		outbox.Queue(b, ev)
		return nil
	}}
}

// PaymentEvents returns a handler of payment events. decode returns false for an event to ignore.
func (s *Store) PaymentEvents(decode func(event.Event) (domain.PaymentUpdate, bool, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		u, relevant, err := decode(e)
		if err == nil && relevant {
			postgres.QueueRow(b, s.payments, u.OrderID, u.PaymentID, u.Status, u.Version, u.At)
		}
		return err
	}
}

// Change locks and reads an order, calls change, and writes the differences and the events in one transaction. The order
// has neither e-mail address nor address: the transaction does not wait for their key.
//
// Errors: not_found.
func (s *Store) Change(
	ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, error),
) (domain.Order, error) {
	var o domain.Order
	err := s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		var events []event.Event
		var err error
		if o, events, err = s.changed(ctx, q, orderID, change); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	return o, err
}

func (s *Store) changed(
	ctx context.Context, q *sqlc.Queries, orderID string, change func(*domain.Order) ([]event.Event, error),
) (domain.Order, []event.Event, error) {
	var o domain.Order
	// Locking and reading take two statements, so that the read sees the shop orders as of after the lock was
	// taken.
	if _, err := q.Lock(ctx, orderID); err != nil {
		return o, nil, postgres.Err(err)
	}
	rows, err := q.ByIDs(ctx, []string{orderID})
	if err != nil {
		return o, nil, postgres.Err(err)
	}
	if o, err = only(rows); err != nil {
		return o, nil, err
	}
	version, before := o.Version, slices.Clone(o.Parts)
	events, err := change(&o)
	if err != nil || o.Version == version {
		return o, events, err
	}
	if err := save(ctx, q, o, before); err != nil {
		return o, nil, postgres.Err(err)
	}
	return o, events, nil
}

// save writes an order and those of its shop orders that differ from before.
func save(ctx context.Context, q *sqlc.Queries, o domain.Order, before []domain.ShopOrder) error {
	err := q.SaveOrder(ctx, sqlc.SaveOrderParams{
		ID:                  o.ID,
		Status:              string(o.Status),
		CancelID:            o.CancelID,
		CancelCode:          o.CancelCode,
		CancelReason:        o.CancelReason,
		PaymentStatus:       o.Payment.Status,
		PaymentVersion:      o.Payment.Version,
		CustomerCancelledAt: orNull(o.CustomerCancelledAt),
		ExpiresAt:           orNull(o.ExpiresAt),
		Version:             o.Version,
		UpdatedAt:           o.UpdatedAt,
	})
	if err != nil {
		return err
	}
	if m := o.Mailbox(); len(m) > 0 && !o.CustomerCancelledAt.IsZero() {
		arg := sqlc.KeepGuestCancelParams{Mailbox: m, OrderID: o.ID, CancelledAt: o.CustomerCancelledAt}
		if err := q.KeepGuestCancel(ctx, arg); err != nil {
			return err
		}
	}
	for i, p := range o.Parts {
		if p.Status == before[i].Status && p.CancelID == before[i].CancelID {
			continue
		}
		err := q.SavePart(ctx, sqlc.SavePartParams{
			ID: p.ID, Status: string(p.Status), Carrier: p.Carrier, TrackingNumber: p.TrackingNumber,
			ShippedAt: orNull(p.ShippedAt), DeliveredAt: orNull(p.DeliveredAt),
			CancelID: p.CancelID, CancelCode: p.CancelCode, CancelReason: p.CancelReason,
			CancelledAt: orNull(p.CancelledAt),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inTx runs f in one transaction, then wakes the relay.
func (s *Store) inTx(ctx context.Context, f func(q *sqlc.Queries, tx pgx.Tx) error) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error { return f(s.q.WithTx(tx), tx) })
	s.wake()
	return err
}
