package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository"
	"souk/apps/order/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/saga"
	"souk/pkg/waittest"
)

func TestRetryOfARefusedCheckoutGetsTheSameRefusal(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	refusal := errs.New(errs.OutOfStock, "an item is out of stock")
	refusal.Fields = []errs.Field{{Path: "var_a", Message: "2 of 3 pieces are available"}}
	h.fail["ReserveInventory"] = []error{refusal}
	for range 2 {
		_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
		require.Equal(t, []errs.Field{{Path: "items.var_a", Message: refusal.Fields[0].Message}}, errs.From(err).Fields)
	}
	h.requireConsistent()
}

func TestRefusedCheckoutsAreDeletedAfterTheRetention(t *testing.T) {
	t.Parallel()
	h := setup(t)
	refused, bought, empty := h.newCustomer(), h.newCustomer(), user("empty")
	_, err := h.checkout(empty, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	keys := func(customerID string) int {
		return moduletest.Value[int](h.Service, `select count(*) from orders where customer_id = $1`, customerID)
	}
	_, err = h.checkout(refused, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	h.confirmedOrder(bought)
	h.waitForSagas()
	forget := func(after time.Duration, now time.Time) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- chore.Forget("forget", after, func(ctx context.Context, from, before time.Time, most int) (int, error) {
				defer close(seen)
				return h.store.ForgetRefused(ctx, from, before, most)
			}, clock.NewManual(now), zap.NewNop()).Run(ctx)
		}()
		waittest.Receive(t, seen)
		cancel()
		require.NoError(t, waittest.Receive(t, done))
	}
	const month = 30 * 24 * time.Hour
	forget(month, time.Now().Add(month-time.Hour))
	require.Equal(t, 1, keys(refused.ID), "not yet")
	require.Equal(t, 1, keys(empty.ID), "there was no order, but its key has an answer")
	forget(month, time.Now().Add(month+time.Hour))
	require.Zero(t, keys(refused.ID))
	require.Zero(t, keys(empty.ID))
	require.Equal(t, 1, keys(bought.ID), "an order is kept")
	for _, table := range []string{"shop_order", "order_item"} {
		require.Zero(t, moduletest.Value[int](h.Service,
			`select count(*) from `+table+` where order_id not in (select id from orders)`), table)
	}
	h.requireConsistent()
}

// A customer who is refused again and again leaves few rows, whether an order was written or not, and keeps real
// orders.
func TestRefusedCheckoutsLeaveFewRows(t *testing.T) {
	t.Parallel()
	h := setup(t)
	declined, empty := h.newCustomer(), user("empty")
	h.confirmedOrder(declined)
	h.fill(declined.ID, line("var_a", 1), line("var_b", 1))
	for i := range 25 {
		_, err := h.checkout(declined, fmt.Sprint("declined-", i), checkoutRequest("tok_declined"))
		require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
		_, err = h.checkout(empty, fmt.Sprint("empty-", i), checkoutRequest("tok_ok"))
		require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	}
	h.waitForSagas()
	rows := func(sql string) int { return moduletest.Value[int](h.Service, sql) }
	require.Equal(t, 20, rows(`select count(*) from orders where customer_id = '`+empty.ID+`'`))
	require.Equal(t, 21, rows(`select count(*) from orders where customer_id = '`+declined.ID+`'`))
	require.Equal(t, 1, rows(`select count(*) from orders where confirmed_at is not null`))
	require.Zero(t, rows(`select count(*) from shop_order where order_id not in (select id from orders)`))
	require.Zero(t, rows(`select count(*) from order_item where order_id not in (select id from orders)`))
	require.LessOrEqual(t, rows(`select count(*) from saga`), 22, "one of the sagas ended after its order was deleted")
	require.LessOrEqual(t, rows(`select count(*) from saga_story s where not exists (
		select from saga g where g.id = s.saga_id)`), 0)
	h.requireConsistent()
}

func TestOrderWithATakenNumberGetsAnother(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.confirmedOrder(h.newCustomer())
	h.waitForSagas()
	number := moduletest.Value[string](h.Service, `select number from orders`)
	o, err := h.store.ByID(t.Context(), moduletest.Value[string](h.Service, `select id from orders`))
	require.NoError(t, err)
	o.ID, o.IdemKey, o.PlacedAt = id.New(id.Order), "another", time.Now()
	for i := range o.Parts {
		o.Parts[i].ID, o.Parts[i].OrderID = id.New(id.ShopOrder), o.ID
	}
	created, err := event.New(t.Context(), "evt.order.created", o.ID, 1, o.PlacedAt,
		&orderv1.OrderCreated{OrderId: o.ID})
	require.NoError(t, err)
	// The service's runner runs the saga, because the lease of this one expires at once.
	runner, err := saga.NewRunner(h.Pool, saga.Options{
		Definitions: (&service.Sagas{Store: h.store}).Definitions(), Lease: time.Millisecond,
	})
	require.NoError(t, err)
	starts := repository.WithSagas(h.store, runner)
	inputs := map[string]string{} // the numbers in the inputs of the saga
	out, err := starts.Create(t.Context(), o, domain.Cart{}, created, func(o domain.Order) any {
		inputs[o.Number] = o.Number
		return map[string]any{
			"customer_id": o.CustomerID,
			"number":      o.Number,
			"currency":    "BRL",
			"total":       4999,
			"method":      "card",
			"token":       "tok_declined",
		}
	})
	require.NoError(t, err)
	require.NotEqual(t, number, out.Number)
	require.Len(t, inputs, 2, "the first number was taken")
	outcome, err := runner.Wait(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, outcome.State)
	h.waitForSagas()
	const payloadOf = `select payload from outbox where aggregate_id = $1 and subject = 'evt.order.cancelled'`
	payload := moduletest.Value[[]byte](h.Service, payloadOf, o.ID)
	var cancelled orderv1.OrderCancelled
	require.NoError(t, proto.Unmarshal(payload, &cancelled))
	require.Equal(t, out.Number, cancelled.GetNumber(), "the saga's event has the order's number")
}

// A retry that cannot read whether its key has an order fails with an unknown outcome. Otherwise the empty cart
// would be stored as the answer for the key.
func TestRetryFailsIfItsOrderCannotBeRead(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	h.waitForSagas()
	h.fill(c.ID)
	_, err = h.Pool.Exec(t.Context(), `alter table orders rename to orders_away`)
	require.NoError(t, err)
	_, err = h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.True(t, errs.OutcomeUnknown(err), "%v", err)
	_, err = h.Pool.Exec(t.Context(), `alter table orders_away rename to orders`)
	require.NoError(t, err)
	again, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	require.Equal(t, o.GetId(), again.GetId())
}
