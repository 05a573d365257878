package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/handler"
	"souk/apps/order/internal/repository"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/saga"
)

func TestARetryLearnsWhatWasWrong(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	refusal := errs.New(errs.OutOfStock, "an item is out of stock")
	refusal.Fields = []errs.Field{{Path: "items.var_a", Message: "not enough pieces are available"}}
	k.fail["ReserveInventory"] = []error{refusal}
	for range 2 {
		_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
		require.Equal(t, refusal.Fields, errs.From(err).Fields)
	}
	k.clean()
}

func TestRefusedCheckoutsAreForgotten(t *testing.T) {
	t.Parallel()
	k := setup(t)
	refused, bought, empty := k.shopping(), k.shopping(), user("empty")
	_, err := k.checkout(empty, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	keys := func(customerID string) (n int) {
		require.NoError(t, k.pool.QueryRow(t.Context(), `select count(*) from orders where customer_id = $1`, customerID).Scan(&n))
		return n
	}
	_, err = k.checkout(refused, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	k.bought(bought)
	k.ended()
	known := func(customerID string) (email, address string) {
		require.NoError(t, k.pool.QueryRow(t.Context(), `select email, shipping_address ->> 'name' from orders where customer_id = $1`, customerID).
			Scan(&email, pgNull{&address}))
		return email, address
	}
	_, address := known(refused.ID)
	require.NotEmpty(t, address)
	forget := func(after time.Duration, now time.Time) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- handler.Forget(looked{k.store, seen}, after, clock.NewManual(now), zap.NewNop())(ctx)
		}()
		<-seen
		cancel()
		require.NoError(t, <-done)
	}
	const month = 30 * 24 * time.Hour
	forget(month, time.Now().Add(month-time.Hour))
	_, address = known(refused.ID)
	require.NotEmpty(t, address, "not yet")
	require.Equal(t, 1, keys(empty.ID), "there was no order, but its key has its answer")
	forget(month, time.Now().Add(month+time.Hour))
	email, address := known(refused.ID)
	require.Empty(t, email)
	require.Empty(t, address)
	_, address = known(bought.ID)
	require.NotEmpty(t, address, "an order is kept")
	require.Zero(t, keys(empty.ID))
	// The key still has its answer.
	_, err = k.checkout(refused, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	k.clean()
}

// pgNull scans null as "".
type pgNull struct{ to *string }

func (n pgNull) Scan(v any) error {
	*n.to, _ = v.(string)
	return nil
}

// looked says when it was looked once.
type looked struct {
	handler.Refused
	seen chan struct{}
}

func (l looked) ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error) {
	n, err := l.Refused.ForgetRefused(ctx, from, before, most)
	close(l.seen)
	return n, err
}

func TestATakenNumberIsNotTold(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.bought(k.shopping())
	k.ended()
	var number string
	require.NoError(t, k.pool.QueryRow(t.Context(), `select number from orders`).Scan(&number))
	o, err := k.store.ByID(t.Context(), k.only())
	require.NoError(t, err)
	o.ID, o.IdemKey, o.PlacedAt = id.New(id.Order), "another", time.Now()
	for i := range o.Parts {
		o.Parts[i].ID, o.Parts[i].OrderID = id.New(id.ShopOrder), o.ID
	}
	told, err := event.New(t.Context(), "evt.order.created", o.ID, 1, o.PlacedAt, &orderv1.OrderCreated{OrderId: o.ID})
	require.NoError(t, err)
	starts := repository.WithSagas(k.store, k.runner)
	inputs := map[string]string{} // what the saga of a number is started with
	out, err := starts.Create(t.Context(), o, told, func(o domain.Order) any {
		inputs[o.Number] = o.Number
		return map[string]any{"customer_id": o.CustomerID, "number": o.Number, "currency": "BRL", "total": 4999, "method": "card", "token": "tok_declined"}
	})
	require.NoError(t, err)
	require.NotEqual(t, number, out.Number)
	require.Len(t, inputs, 2, "the first number was taken")
	outcome, err := k.runner.Execute(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, outcome.State)
	k.ended()
	var payload []byte
	require.NoError(t, k.pool.QueryRow(t.Context(), `select payload from outbox where aggregate_id = $1 and subject = 'evt.order.cancelled'`, o.ID).Scan(&payload))
	var cancelled orderv1.OrderCancelled
	require.NoError(t, proto.Unmarshal(payload, &cancelled))
	require.Equal(t, out.Number, cancelled.GetNumber(), "the saga tells the number that the order has")
}

// only is the one order that there is.
func (k *kit) only() (orderID string) {
	require.NoError(k.t, k.pool.QueryRow(k.t.Context(), `select id from orders`).Scan(&orderID))
	return orderID
}

// A retry that cannot learn whether its key has an order says so: that the cart is empty would be kept as the key's answer.
func TestARetryThatCannotSeeItsOrder(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	k.ended()
	k.fill(c.ID)
	_, err = k.pool.Exec(t.Context(), `alter table orders rename to orders_away`)
	require.NoError(t, err)
	_, err = k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.True(t, errs.Unknown(err), "%v", err)
	_, err = k.pool.Exec(t.Context(), `alter table orders_away rename to orders`)
	require.NoError(t, err)
	again, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.Equal(t, o.GetId(), again.GetId())
}
