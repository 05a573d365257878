package repository

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

// Bounds of the group that creates orders.
const (
	createLimit    = 64
	createParallel = 1
	// numberAttempts bounds the attempts to find a free order number.
	numberAttempts = 5
)

// Starter queues the start of a saga in a batch; see saga.Runner.Start.
type Starter interface {
	Start(ctx context.Context, b *pgx.Batch, typ, id string, input any) error
}

// Starts is a Store that also starts sagas, in the same transaction as the changes that they belong to.
type Starts struct {
	*Store
	sagas   Starter
	creates *batch.Batcher[creation, *domain.Order]

	orders, parts, items, claims string
}

type creation struct {
	ctx     context.Context //nolint:containedctx // carries the trace that the saga joins; its caller waits
	order   domain.Order
	cart    domain.Cart
	created event.Event
	input   func(domain.Order) any
}

// WithSagas returns a Store that can start the runner's sagas.
func WithSagas(s *Store, sagas Starter) *Starts {
	out := &Starts{
		Store: s, sagas: sagas,
		orders: statement("create_orders"), parts: statement("create_parts"), items: statement("create_items"),
		claims: statement("claim_carts"),
	}
	out.creates = batch.New(createLimit, out.runCreate, batch.WithParallel(createParallel))
	return out
}

// Create writes a new order of the cart, its claim of the cart, its event and the start of its checkout's saga in one
// round trip, shared with concurrent callers. It returns the order as written: the order gets another number if its
// number is taken. input returns the saga's input for the order as written.
//
// Errors: already_exists (the customer's key is taken), conflict (the customer's data was erased), checkout_in_progress (another order holds the cart's claim, and
// its items had not left the cart when the cart was read).
func (s *Starts) Create(
	ctx context.Context, o domain.Order, cart domain.Cart, created event.Event, input func(domain.Order) any,
) (domain.Order, error) {
	if err := s.encrypt(ctx, &o); err != nil {
		return domain.Order{}, err
	}
	out, err := s.creates.Submit(ctx, creation{ctx, o, cart, created, input})
	if err != nil {
		return domain.Order{}, err
	}
	return *out, nil
}

func (s *Starts) runCreate(ctx context.Context, items []creation) ([]batch.Result[*domain.Order], error) {
	out := make([]batch.Result[*domain.Order], len(items))
	seen := make(map[key]bool, len(items))
	pending := make([]creation, 0, len(items))
	for i, it := range items {
		k := key{it.order.CustomerID, it.order.IdemKey}
		if seen[k] {
			out[i].Err = keyTaken() // by another item of this batch
			continue
		}
		seen[k] = true
		pending = append(pending, it)
	}
	err := s.create(ctx, pending)
	switch {
	case err == nil:
		s.wake()
		for i := range items {
			if out[i].Err == nil {
				out[i].Value = &items[i].order
			}
		}
		return out, nil
	case !postgres.IsUnique(err, "") && postgres.Err(err) != err: //nolint:errorlint // identity is meant
		return nil, postgres.Err(err) // the database failed, not one of the orders
	}
	// At least one order cannot be written. Write each one on its own.
	for i := range items {
		if out[i].Err == nil {
			out[i].Err = s.createOne(ctx, &items[i])
			out[i].Value = &items[i].order
		}
	}
	s.wake()
	return out, nil
}

func (s *Starts) createOne(ctx context.Context, it *creation) error {
	for attempt := 1; ; attempt++ {
		err := s.create(ctx, []creation{*it})
		switch {
		case postgres.IsUnique(err, "orders_customer_key"):
			return keyTaken()
		case postgres.IsUnique(err, "orders_number") && attempt < numberAttempts:
			it.order.Number = domain.NewNumber()
		default:
			return saga.Err(postgres.Err(err))
		}
	}
}

func keyTaken() error { return errs.New(errs.AlreadyExists, "the idempotency key has an order") }

// create writes the orders in one batch, which is one transaction.
func (s *Starts) create(ctx context.Context, all []creation) error {
	b := &pgx.Batch{}
	for _, it := range all {
		if err := s.queue(b, it.order); err != nil {
			return err
		}
		left := strings.Join(it.cart.LeftIDs, ",")
		for _, owner := range it.cart.ClaimIDs {
			postgres.QueueRow(b, s.claims, owner, it.order.ID, left)
		}
		outbox.Queue(b, it.created)
		if err := s.sagas.Start(it.ctx, b, domain.CheckoutSaga, it.order.ID, it.input(it.order)); err != nil {
			return err
		}
	}
	return s.pool.SendBatch(ctx, b).Close()
}

// ChangeAndStart is Change that also starts the saga that change returns, unless its ID is "".
func (s *Starts) ChangeAndStart(
	ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, domain.Start, error),
) (domain.Order, error) {
	before, err := s.ByID(ctx, orderID) // for its addresses: the transaction does not wait for their key
	if err != nil {
		return domain.Order{}, err
	}
	var o domain.Order
	err = s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		var start domain.Start
		var events []event.Event
		var err error
		o, events, err = s.changed(ctx, q, orderID, func(o *domain.Order) (events []event.Event, err error) {
			o.Email, o.Address = before.Email, before.Address
			events, start, err = change(o)
			return events, err
		})
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		outbox.Queue(b, events...)
		if start.ID != "" {
			if err := s.sagas.Start(ctx, b, start.Type, start.ID, start.Input); err != nil {
				return err
			}
		}
		return postgres.SendBatch(ctx, tx, b)
	})
	return o, err
}

// queue queues the rows of an order.
func (s *Starts) queue(b *pgx.Batch, o domain.Order) error {
	t := o.Totals
	currency := string(t.Total.Currency())
	postgres.QueueRow(b, s.orders, o.ID, o.Number, o.CustomerID, o.IdemKey, o.RequestHash[:], currency,
		t.Subtotal.Minor(), t.Discount.Minor(), t.Shipping.Minor(), t.Tax.Minor(), t.Total.Minor(),
		o.Payment.Method, o.Private, o.CartVersion, o.PlacedAt, o.ExpiresAt)
	line := 0
	for i, p := range o.Parts {
		t := p.Totals
		discounts, err := encodeDiscounts(p.ShippingDiscounts)
		if err != nil {
			return err
		}
		postgres.QueueRow(
			b,
			s.parts,
			p.ID,
			o.ID,
			i,
			p.ShopID,
			p.ShopName,
			t.Subtotal.Minor(),
			t.Discount.Minor(),
			t.Shipping.Minor(),
			t.Tax.Minor(),
			t.Total.Minor(),
			p.PlacedAt,
			discounts,
		)
		for _, it := range p.Items {
			options := []byte("{}")
			if len(it.Options) > 0 {
				var err error
				if options, err = json.Marshal(it.Options); err != nil {
					return errs.Wrap(err, errs.Internal, "the options cannot be kept")
				}
			}
			discounts, err := encodeDiscounts(it.Discounts)
			if err != nil {
				return err
			}
			postgres.QueueRow(
				b,
				s.items,
				o.ID,
				line,
				p.ID,
				it.VariantID,
				it.ProductID,
				it.Title,
				it.SKU,
				string(
					options,
				),
				it.Quantity,
				it.UnitPrice.Minor(),
				it.LineTotal.Minor(),
				it.Discount.Minor(),
				discounts,
			)
			line++
		}
	}
	return nil
}
