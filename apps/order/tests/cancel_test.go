package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func (h *harness) cancelPart(a identity.Actor, partID, reason string) (*orderv1.ShopOrder, error) {
	res, err := h.client.CancelShopOrder(h.As(a), &orderv1.CancelShopOrderRequest{Id: partID, Reason: reason})
	return res.GetShopOrder(), err
}

func (h *harness) get(c identity.Actor, orderID string) *orderv1.Order {
	h.t.Helper()
	res, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: orderID})
	require.NoError(h.t, err)
	return res.GetOrder()
}

// paidOrder returns an order whose payment is captured, as the order service knows it.
func (h *harness) paidOrder(c identity.Actor) *orderv1.Order {
	h.t.Helper()
	o := h.confirmedOrder(c)
	h.handlePayment(o.GetId(), "captured", 3)
	return o
}

// cashOrder returns a confirmed order with cash on delivery.
func (h *harness) cashOrder(c identity.Actor, key string) *orderv1.Order {
	h.t.Helper()
	r := checkoutRequest("")
	r.Payment.Method = "cod"
	o, err := h.checkout(c, key, r)
	require.NoError(h.t, err)
	h.waitForSagas()
	return o
}

func TestCustomerCancelsWhatWasNotShipped(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.paidOrder(c)
	_, err := h.ship(operator(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	for range 2 { // the second one repeats the answer
		got, err := h.cancel(c, o.GetId())
		require.NoError(t, err)
		require.Equal(t, "shipped", got.GetStatus())
		require.Equal(t, "shipped", got.GetShopOrders()[0].GetStatus())
		require.Nil(t, got.GetShopOrders()[0].GetCancellation())
		cancelled := got.GetShopOrders()[1]
		require.Equal(t, "cancelled", cancelled.GetStatus())
		require.Equal(t, "customer", cancelled.GetCancellation().GetBy())
		require.Equal(t, "changed my mind", cancelled.GetCancellation().GetReason())
		require.NotNil(t, cancelled.GetCancellation().GetCancelledAt())
		require.Equal(t, "partially_refunded", got.GetPayment().GetStatus())
		require.Equal(t, "49.99", got.GetTotal().GetAmount())
		require.Equal(t, "30.00", got.GetRemaining().GetAmount())
	}
	require.Equal(t, 1, h.count(h.moved, "refund"))
	require.EqualValues(t, 1_000_000-3, h.onHand["var_a"])
	require.EqualValues(t, 1_000_000, h.onHand["var_b"])
	_, err = h.deliver(operator(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	require.Equal(t, "delivered", h.get(c, o.GetId()).GetStatus())
	require.Equal(t, []string{
		"evt.order.created", "evt.order.confirmed", "evt.order.shipped", "evt.order.cancelled", "evt.order.delivered",
	}, h.Events(o.GetId()))
	h.requireConsistent()
}

func TestShopCancelsItsPart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	seller := user("seller")
	h.members["shp_1/"+seller.ID] = true
	c := h.newCustomer()
	o := h.paidOrder(c)
	mine, other := o.GetShopOrders()[0].GetId(), o.GetShopOrders()[1].GetId()
	for _, a := range []identity.Actor{user("stranger"), c} {
		_, err := h.cancelPart(a, mine, "no")
		require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	}
	_, err := h.cancelPart(seller, other, "no")
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another shop's: %v", err)
	for _, reason := range []string{"", " ", "sold\nout", "pay at www.evil.example.com"} {
		_, err = h.cancelPart(seller, mine, reason)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%q: %v", reason, err)
	}
	for range 2 {
		p, err := h.cancelPart(seller, mine, "broken in the store room")
		require.NoError(t, err)
		require.Equal(t, "cancelled", p.GetStatus())
		require.Equal(t, "shop", p.GetCancellation().GetBy())
		require.Equal(t, o.GetNumber(), p.GetOrderNumber())
	}
	got := h.get(c, o.GetId())
	require.Equal(t, "confirmed", got.GetStatus(), "the other shop's part stays")
	require.Equal(t, "broken in the store room", got.GetShopOrders()[0].GetCancellation().GetReason())
	_, err = h.ship(seller, mine)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)

	_, err = h.ship(operator(), other)
	require.NoError(t, err, "some of the money was refunded, and the rest pays for this")
	_, err = h.cancelPart(operator(), other, "too late")
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	require.Equal(t, "shipped", h.get(c, o.GetId()).GetStatus())
	h.requireConsistent()
}

func TestOperatorCancelsAnOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.paidOrder(c)
	cancel := func(a identity.Actor, orderID, reason string) (*orderv1.Order, error) {
		res, err := h.client.CancelOrderAsOperator(h.As(a),
			&orderv1.CancelOrderAsOperatorRequest{Id: orderID, Reason: reason})
		return res.GetOrder(), err
	}
	_, err := cancel(c, o.GetId(), "mine")
	require.Equal(t, errs.Forbidden, errs.CodeOf(err), "%v", err)
	_, err = cancel(operator(), "ord_none", "fraud")
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = cancel(operator(), o.GetId(), "")
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	_, err = h.cancelPart(operator(), o.GetShopOrders()[1].GetId(), "fraud")
	require.NoError(t, err)
	got, err := cancel(operator(), o.GetId(), "fraud")
	require.NoError(t, err)
	require.Equal(t, "cancelled", got.GetStatus())
	require.Equal(t, "refunded", got.GetPayment().GetStatus())
	require.Equal(t, "operator", got.GetShopOrders()[0].GetCancellation().GetBy())
	require.Equal(t, 2, h.count(h.moved, "refund"))
	require.Equal(t, "0.00", got.GetRemaining().GetAmount())
	h.requireConsistent()
}

// A customer cancels everything while both shops and an operator cancel a part each. Each part's money and stock are
// returned once, and everybody gets an answer.
func TestConcurrentCancellationsReturnEachPartOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 5 {
		c := h.newCustomer()
		o := h.paidOrder(c)
		for _, err := range moduletest.Concurrently(8, func(i int) error {
			if i < 4 {
				_, err := h.cancel(c, o.GetId())
				return err
			}
			_, err := h.cancelPart(operator(), o.GetShopOrders()[i%2].GetId(), "sold out")
			return err
		}) {
			require.NoError(t, err)
		}
		got := h.get(c, o.GetId())
		require.Equal(t, "cancelled", got.GetStatus())
		require.Equal(t, "refunded", got.GetPayment().GetStatus())
		h.requireConsistent()
	}
}

// The refund of one part is still in flight when the other part's ends. The older status must not overwrite the newer
// one.
func TestNewestPaymentStatusWinsWhenCancellationsOverlap(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.paidOrder(c)
	reached, goOn := make(chan struct{}), make(chan struct{})
	first := true
	h.before = func(method string) {
		if method == "RestockInventory" && first { // the refund before it is done
			first = false
			close(reached)
			waittest.Receive(t, goOn)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := h.cancelPart(operator(), o.GetShopOrders()[0].GetId(), "slow")
		done <- err
	}()
	waittest.Receive(t, reached)
	_, err := h.cancelPart(operator(), o.GetShopOrders()[1].GetId(), "fast")
	require.NoError(t, err)
	got := h.get(c, o.GetId())
	require.Equal(t, "confirmed", got.GetStatus())
	require.Equal(t, "refunded", got.GetPayment().GetStatus())
	close(goOn)
	require.NoError(t, waittest.Receive(t, done))
	got = h.get(c, o.GetId())
	require.Equal(t, "cancelled", got.GetStatus())
	require.Equal(t, "refunded", got.GetPayment().GetStatus())
	h.requireConsistent()
}

// The cash of a cancelled part is not collected, whichever of the parts ends last.
func TestCashOfACancelledPartIsNotCollected(t *testing.T) {
	t.Parallel()
	for name, deliverFirst := range map[string]bool{
		"delivered, then cancelled": true, "cancelled, then delivered": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c := h.newCustomer()
			o := h.cashOrder(c, "k")
			first, second := o.GetShopOrders()[0].GetId(), o.GetShopOrders()[1].GetId()
			deliver := func() {
				_, err := h.ship(operator(), first)
				require.NoError(t, err)
				_, err = h.deliver(operator(), first)
				require.NoError(t, err)
			}
			if deliverFirst {
				deliver()
				require.Equal(t, "confirmed", h.get(c, o.GetId()).GetStatus())
			}
			_, err := h.cancelPart(operator(), second, "sold out")
			require.NoError(t, err)
			if !deliverFirst {
				require.Zero(t, h.count(h.moved, "capture"))
				deliver()
			}
			waittest.Until(t, func() bool { return h.count(h.moved, "capture") == 1 }, "the cash is not collected")
			require.Equal(t, 1, h.count(h.moved, "waive"))
			got := h.get(c, o.GetId())
			require.Equal(t, "delivered", got.GetStatus())
			require.Nil(t, got.GetExpiresAt(), "it waits for nothing")
			h.requireConsistent()
		})
	}
}

func TestCashOrderIsVoidedWhenItsLastPartIsCancelled(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.cashOrder(c, "k")
	for i, want := range []string{"authorized", "voided"} {
		_, err := h.cancelPart(operator(), o.GetShopOrders()[i].GetId(), "sold out")
		require.NoError(t, err)
		require.Equal(t, want, h.get(c, o.GetId()).GetPayment().GetStatus())
	}
	require.Equal(t, "cancelled", h.get(c, o.GetId()).GetStatus())
	h.requireConsistent()
}

// The process that cancels the last part of a delivered cash order dies before it collects the cash.
func TestCashIsCollectedAfterFailuresOfTheCancellation(t *testing.T) {
	// Not parallel: failpoints are global to the process.
	for _, point := range []string{"cancel.after_finish", "cancel.before_collect", "cancel.after_collect"} {
		t.Run(point, func(t *testing.T) {
			h := setup(t)
			c := h.newCustomer()
			o := h.cashOrder(c, "k")
			_, err := h.ship(operator(), o.GetShopOrders()[0].GetId())
			require.NoError(t, err)
			_, err = h.deliver(operator(), o.GetShopOrders()[0].GetId())
			require.NoError(t, err)
			disable := failpoint.Enable(point, failpoint.Error(errs.New(errs.Unavailable, "died")).Times(1))
			defer disable()
			_, err = h.cancelPart(operator(), o.GetShopOrders()[1].GetId(), "sold out")
			require.NoError(t, err)
			waittest.Until(t, func() bool { return h.count(h.moved, "capture") == 1 }, "the cash is not collected")
			h.requireConsistent()
		})
	}
}

// A cancellation that the previous release began names no shop orders: it cancels the whole order.
func TestCancellationOfThePreviousReleaseCancelsTheWholeOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.paidOrder(c)
	_, err := h.Pool.Exec(t.Context(), `
		with marked as (
			update orders set cancel_id = 'can_old', cancel_code = 'customer' where id = $1
			returning id, number, customer_id
		)
		insert into saga (id, type, def_version, input, state, epoch, owner, lease_until, next_run_at, deadline)
		select 'can_old', 'cancel', 1, jsonb_build_object('order_id', id, 'number', number, 'customer_id', customer_id),
			'running', 1, '', now() - interval '1 second', now(), now() + interval '1 minute' from marked`, o.GetId())
	require.NoError(t, err)
	_, err = h.ship(operator(), o.GetShopOrders()[0].GetId())
	require.Error(t, err)
	got, err := h.cancel(c, o.GetId())
	require.NoError(t, err, "it waits for the cancellation in flight")
	require.Equal(t, "cancelled", got.GetStatus())
	require.Equal(t, "refunded", got.GetPayment().GetStatus())
	require.Equal(t, 1, h.count(h.moved, "refund"))
	h.requireConsistent()
}
