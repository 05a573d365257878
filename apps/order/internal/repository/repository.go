// Package repository keeps orders in PostgreSQL.
//
// A checkout writes three times: its rows together with its saga (Starts.Create, grouped over concurrent
// callers), the confirmation (a saga's batch), and what payment tells (a consumer's batch).
package repository

import (
	"context"
	"embed"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/outbox"
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

// keyLimit bounds how many callers look their idempotency keys up together, readLimit how many read an order each.
const (
	keyLimit  = 128
	readLimit = 64
)

// Store reads orders and does what sagas and consumers do to them.
type Store struct {
	pool *pgxpool.Pool
	q    *sqlc.Queries
	wake func()
	keys *postgres.Group[key, *domain.Attempt]
	byID *postgres.Group[string, *domain.Order]

	confirm, cancel, payments string
}

type key struct{ customerID, idemKey string }

// Open returns a Store on the pool. It calls wake whenever it has written events.
func Open(pool *pgxpool.Pool, wake func()) *Store {
	s := &Store{pool: pool, q: sqlc.New(pool), wake: wake, confirm: statement("confirm"), cancel: statement("cancel"), payments: statement("apply_payments")}
	s.keys = postgres.NewGroup(keyLimit, s.runKeys, postgres.WithParallel(2))
	s.byID = postgres.NewGroup(readLimit, s.runByID, postgres.WithParallel(2))
	return s
}

// ByID returns an order; not_found when there is none. Callers of the same moment share a statement.
func (s *Store) ByID(ctx context.Context, orderID string) (domain.Order, error) {
	o, err := s.byID.Do(ctx, orderID)
	if err != nil {
		return domain.Order{}, err
	}
	return *o, nil
}

func (s *Store) runByID(ctx context.Context, ids []string) ([]postgres.Result[*domain.Order], error) {
	rows, err := s.q.ByIDs(ctx, ids)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[string][]sqlc.ByIDsRow, len(ids))
	for _, r := range rows {
		found[r.Order.ID] = append(found[r.Order.ID], r)
	}
	out := make([]postgres.Result[*domain.Order], len(ids))
	for i, orderID := range ids {
		o, err := only(found[orderID]) // one each: they may change theirs
		out[i] = postgres.Result[*domain.Order]{Value: &o, Err: err}
	}
	return out, nil
}

// Owned returns the customer's order; not_found when it is not theirs.
func (s *Store) Owned(ctx context.Context, orderID, customerID string) (domain.Order, error) {
	rows, err := s.q.Owned(ctx, sqlc.OwnedParams{ID: orderID, CustomerID: customerID})
	if err != nil {
		return domain.Order{}, postgres.Err(err)
	}
	same := make([]sqlc.ByIDsRow, len(rows))
	for i, r := range rows {
		same[i] = sqlc.ByIDsRow(r)
	}
	return only(same)
}

// History returns a page of the customer's orders, newest first.
func (s *Store) History(ctx context.Context, customerID string, after domain.Position, limit int) ([]domain.Order, error) {
	rows, err := s.q.History(ctx, sqlc.HistoryParams{CustomerID: customerID, Before: after.At, BeforeID: after.ID, Page: int32(limit)}) //nolint:gosec // a page is small
	if err != nil {
		return nil, postgres.Err(err)
	}
	same := make([]sqlc.ByIDsRow, len(rows))
	for i, r := range rows {
		same[i] = sqlc.ByIDsRow(r)
	}
	return orders(same)
}

// ShopHistory returns a page of the shop's parts of orders, newest first, those with the status ("": of
// orders that were confirmed).
func (s *Store) ShopHistory(ctx context.Context, shopID string, status domain.Status, after domain.Position, limit int) ([]domain.ShopOrder, error) {
	rows, err := s.q.ShopHistory(ctx, sqlc.ShopHistoryParams{
		ShopID: shopID, Status: string(status), Before: after.At, BeforeID: after.ID, Page: int32(limit), //nolint:gosec // a page is small
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	return shopOrders(rows)
}

// PartOwner returns the order and the shop of a part; not_found when there is none.
func (s *Store) PartOwner(ctx context.Context, partID string) (orderID, shopID string, err error) {
	r, err := s.q.PartOwner(ctx, partID)
	return r.OrderID, r.ShopID, postgres.Err(err)
}

// ByKey returns what there is for a customer's idempotency key; not_found when there is nothing.
func (s *Store) ByKey(ctx context.Context, customerID, idemKey string) (domain.Attempt, error) {
	a, err := s.keys.Do(ctx, key{customerID, idemKey})
	if err != nil {
		return domain.Attempt{}, err
	}
	if a == nil {
		return domain.Attempt{}, errs.New(errs.NotFound, "the key is new")
	}
	return *a, nil
}

func (s *Store) runKeys(ctx context.Context, items []key) ([]postgres.Result[*domain.Attempt], error) {
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
		a := domain.Attempt{OrderID: r.ID, Status: domain.Status(r.Status)}
		copy(a.RequestHash[:], r.RequestHash)
		if r.Refused {
			a.Refusal = &domain.Refusal{Code: errs.Code(r.CancelCode), Message: r.CancelReason}
			if err := json.Unmarshal(r.CancelFields, &a.Refusal.Fields); err != nil {
				return nil, unreadable(err)
			}
		}
		found[key{r.CustomerID, r.IdemKey}] = &a
	}
	out := make([]postgres.Result[*domain.Attempt], len(items))
	for i, k := range items {
		out[i].Value = found[k]
	}
	return out, nil
}

// KeepRefusal keeps for a request's key that it was refused before there was an order; already_exists when the key has an
// order, or another refusal: a request that came before may have gone on meanwhile.
func (s *Store) KeepRefusal(ctx context.Context, r domain.Request, why domain.Refusal, at time.Time) error {
	fields, err := fieldsOf(why)
	if err != nil {
		return err
	}
	hash := r.Hash()
	n, err := s.q.KeepRefusal(ctx, sqlc.KeepRefusalParams{
		ID: id.New(id.Order), CustomerID: r.CustomerID, IdemKey: r.IdemKey, RequestHash: hash[:], PaymentMethod: r.PaymentMethod,
		CancelCode: string(why.Code), CancelReason: why.Message, CancelFields: fields, At: at,
	})
	if err == nil && n == 0 {
		return keyTaken()
	}
	return postgres.Err(err)
}

// OrdersOf returns the IDs of at most so many of a customer's orders, refused checkouts among them.
func (s *Store) OrdersOf(ctx context.Context, customerID string, limit int) ([]string, error) {
	ids, err := s.q.CustomersOrders(ctx, sqlc.CustomersOrdersParams{CustomerID: customerID, Limit: int32(limit)}) //nolint:gosec // a batch is small
	return ids, postgres.Err(err)
}

// Adopt makes those of the orders that are a guest's a user's.
func (s *Store) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return postgres.Err(s.q.Adopt(ctx, sqlc.AdoptParams{GuestID: guestID, UserID: userID, Ids: orderIDs}))
}

// fieldsOf is what was wrong with which field, as it is kept.
func fieldsOf(why domain.Refusal) ([]byte, error) {
	fields, err := json.Marshal(append([]errs.Field{}, why.Fields...))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "the refusal cannot be kept")
	}
	return fields, nil
}

// CheckoutEnded reports whether nothing of the order's checkout is left to do. It fails with conflict when
// the checkout is parked: an operator has to look at it first.
func (s *Store) CheckoutEnded(ctx context.Context, orderID string) (bool, error) {
	state, err := s.q.SagaState(ctx, orderID)
	switch err = postgres.Err(err); {
	case errs.Is(err, errs.NotFound):
		return true, nil // long ago
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

// Refuse ends a checkout that was refused, once.
func (s *Store) Refuse(ctx context.Context, orderID string, why domain.Refusal, at time.Time, tell func(version int64) (event.Event, error)) error {
	fields, err := fieldsOf(why)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		version, err := q.Refuse(ctx, sqlc.RefuseParams{
			ID: orderID, CancelCode: string(why.Code), CancelReason: why.Message, CancelFields: fields, FreeKey: why.Fault, At: at,
		})
		switch err = postgres.Err(err); {
		case errs.Is(err, errs.NotFound):
			return nil // it was refused before
		case err != nil:
			return err
		}
		if err := q.RefuseParts(ctx, orderID); err != nil {
			return postgres.Err(err)
		}
		told, err := tell(version)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, told)
	})
}

// ForgetRefused erases the names and addresses of at most so many checkouts that were refused and begun from one time to
// another, and returns how many there were. Those that were refused before there was an order it deletes.
func (s *Store) ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error) {
	first, end := id.At(id.Order, from), id.At(id.Order, before)
	erased, err := s.q.ForgetRefused(ctx, sqlc.ForgetRefusedParams{First: first, Before: end, Most: int32(most)}) //nolint:gosec // a batch is small
	if err != nil {
		return 0, postgres.Err(err)
	}
	deleted, err := s.q.ForgetKeys(ctx, sqlc.ForgetKeysParams{First: first, Before: end, Most: int32(most)}) //nolint:gosec // a batch is small
	return int(max(erased, deleted)), postgres.Err(err)
}

// ConfirmStep is the pivot of a checkout: order and parts become confirmed as decide says.
func (s *Store) ConfirmStep(name string, decide func(*saga.Run) (domain.Confirmation, event.Event, error)) saga.Step {
	return saga.Step{Name: name, Pivot: true, Written: s.wake, Batch: func(r *saga.Run, b *pgx.Batch) error {
		c, told, err := decide(r)
		if err != nil {
			return err
		}
		postgres.QueueRows(b, s.confirm, []string{r.ID()}, []time.Time{c.At}, []string{c.Payment.ID}, []string{c.Payment.Status})
		outbox.Queue(b, told)
		return nil
	}}
}

// AcceptStep is a pivot that writes nothing but that it is behind.
func (s *Store) AcceptStep(name string) saga.Step {
	return saga.Step{Name: name, Pivot: true, Batch: func(*saga.Run, *pgx.Batch) error { return nil }}
}

// CancelStep ends a cancellation: order and parts become cancelled as decide says.
func (s *Store) CancelStep(name string, decide func(*saga.Run) (domain.Cancellation, event.Event, error)) saga.Step {
	return saga.Step{Name: name, Written: s.wake, Batch: func(r *saga.Run, b *pgx.Batch) error {
		c, told, err := decide(r)
		if err != nil {
			return err
		}
		postgres.QueueRows(b, s.cancel, []string{c.OrderID}, []string{r.ID()}, []time.Time{c.At}, []string{c.PaymentStatus})
		outbox.Queue(b, told)
		return nil
	}}
}

// PaymentEvents takes in what payment tells. read says which events matter.
func (s *Store) PaymentEvents(read func(event.Event) (domain.PaymentNews, bool, error)) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		n, matters, err := read(e)
		if err == nil && matters {
			postgres.QueueRows(b, s.payments, []string{n.OrderID}, []string{n.PaymentID}, []string{n.Status}, []int64{n.Version}, []time.Time{n.At})
		}
		return err
	}
}

// Change reads an order that nobody else changes meanwhile, lets change change it, and writes what differs
// together with the events. It fails with not_found when there is no such order.
func (s *Store) Change(ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, error)) (domain.Order, error) {
	var o domain.Order
	err := s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		var events []event.Event
		var err error
		if o, events, err = changed(ctx, q, orderID, change); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	return o, err
}

func changed(ctx context.Context, q *sqlc.Queries, orderID string, change func(*domain.Order) ([]event.Event, error)) (domain.Order, []event.Event, error) {
	var o domain.Order
	// Two statements: what the second one sees of the parts is from after the lock.
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
	version, before := o.Version, make([]domain.Status, len(o.Parts))
	for i, p := range o.Parts {
		before[i] = p.Status
	}
	events, err := change(&o)
	if err != nil || o.Version == version {
		return o, events, err
	}
	err = q.SaveOrder(ctx, sqlc.SaveOrderParams{
		ID: o.ID, Status: string(o.Status), CancelID: o.CancelID, CancelCode: o.CancelCode, CancelReason: o.CancelReason,
		Version: o.Version, UpdatedAt: o.UpdatedAt,
	})
	if err != nil {
		return o, nil, postgres.Err(err)
	}
	for i, p := range o.Parts {
		if p.Status == before[i] {
			continue
		}
		err := q.SavePart(ctx, sqlc.SavePartParams{
			ID: p.ID, Status: string(p.Status), Carrier: p.Carrier, TrackingNumber: p.TrackingNumber,
			ShippedAt: optional(p.ShippedAt), DeliveredAt: optional(p.DeliveredAt),
		})
		if err != nil {
			return o, nil, postgres.Err(err)
		}
	}
	return o, events, nil
}

// inTx runs f with queries in one transaction.
func (s *Store) inTx(ctx context.Context, f func(q *sqlc.Queries, tx pgx.Tx) error) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error { return f(s.q.WithTx(tx), tx) })
	s.wake()
	return err
}
