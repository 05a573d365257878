package tests

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/order/internal/handler"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// cancel cancels shop orders of a customer's order, or all of it.
func (h *harness) cancel(c identity.Actor, orderID string, partIDs ...string) (*orderv1.Order, error) {
	res, err := h.client.CancelOrder(h.As(c),
		&orderv1.CancelOrderRequest{Id: orderID, Reason: "changed my mind", ShopOrderIds: partIDs})
	return res.GetOrder(), err
}

func (h *harness) ship(a identity.Actor, partID string) (*orderv1.ShopOrder, error) {
	res, err := h.client.ShipShopOrder(h.As(a),
		&orderv1.ShipShopOrderRequest{Id: partID, Carrier: "Correios", TrackingNumber: "BR 1"})
	return res.GetShopOrder(), err
}

func (h *harness) deliver(a identity.Actor, partID string) (*orderv1.ShopOrder, error) {
	res, err := h.client.DeliverShopOrder(h.As(a), &orderv1.DeliverShopOrderRequest{Id: partID})
	return res.GetShopOrder(), err
}

func operator() identity.Actor {
	return moduletest.User("usr_operator", permission.RoleOperator)
}

func TestCancelReturnsMoneyAndStock(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	for range 2 {
		got, err := h.cancel(c, o.GetId())
		require.NoError(t, err)
		require.Equal(t, "cancelled", got.GetStatus())
		require.Equal(t, "refunded", got.GetPayment().GetStatus())
		require.Equal(t, "cancelled", got.GetShopOrders()[1].GetStatus())
	}
	require.Equal(t, 1, h.count(h.moved, "refund"))
	require.EqualValues(t, 1_000_000, h.onHand["var_a"])
	require.Equal(t, []string{"evt.order.created", "evt.order.confirmed", "evt.order.cancelled"}, h.Events(o.GetId()))
	_, err := h.ship(operator(), o.GetShopOrders()[0].GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	list, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetOrders(), 1, "a cancelled order stays in the history")
	h.requireConsistent()
}

func TestConcurrentCancelsRefundOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	for _, err := range moduletest.Concurrently(20, func(int) error { _, err := h.cancel(c, o.GetId()); return err }) {
		require.NoError(t, err)
	}
	require.Equal(t, 1, h.moved["refund"])
	h.requireConsistent()
}

func TestCancelWaitsForTheCheckoutToEnd(t *testing.T) {
	t.Parallel()
	h := setup(t)
	reached, goOn := make(chan struct{}), make(chan struct{})
	h.before = func(method string) {
		if method == "Capture" {
			close(reached)
			waittest.Receive(t, goOn)
		}
	}
	c := h.newCustomer()
	o, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	waittest.Receive(t, reached)
	done := make(chan error, 1)
	go func() {
		_, err := h.cancel(c, o.GetId())
		done <- err
	}()
	waittest.Until(t, func() bool {
		return moduletest.Value[bool](h.Service, `select bool_and(cancel_id <> '') from shop_order`)
	}, "the order is not marked")
	close(goOn)
	require.NoError(t, waittest.Receive(t, done), "it waits for the rest of the checkout")
	require.Equal(t, "refunded", h.money[o.GetId()].GetStatus())
	h.requireConsistent()
}

func TestCancelConflictsWithACheckoutThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"deadline": "2s"})
	c := h.newCustomer()
	h.mu.Lock()
	for range 10_000 {
		h.fail["Capture"] = append(h.fail["Capture"], errs.New(errs.Unavailable, "down"))
	}
	h.mu.Unlock()
	o, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	_, err = h.cancel(c, o.GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	h.mu.Lock()
	h.fail["Capture"] = nil
	h.mu.Unlock()
	h.waitForSagas()
	got, err := h.cancel(c, o.GetId())
	require.NoError(t, err, "cancelling can be retried")
	require.Equal(t, "cancelled", got.GetStatus())
	h.requireConsistent()
}

func TestCancelSurvivesFailuresAtEveryFailpoint(t *testing.T) {
	// Not parallel: failpoints are global to the process.
	for _, point := range []string{
		"cancel.after_start", "cancel.before_await_checkout", "cancel.before_accept", "cancel.after_accept",
		"cancel.before_pay_back", "cancel.after_pay_back", "cancel.before_restock", "cancel.after_restock",
		"cancel.before_finish", "cancel.after_finish", "cancel.before_collect", "cancel.after_collect",
		"cancel.before_end",
	} {
		t.Run(point, func(t *testing.T) {
			h := setup(t)
			for _, partly := range []bool{false, true} {
				c := h.newCustomer()
				o := h.confirmedOrder(c)
				want := "cancelled"
				if partly {
					h.handlePayment(o.GetId(), "captured", 3)
					_, err := h.ship(operator(), o.GetShopOrders()[1].GetId())
					require.NoError(t, err)
					want = "shipped"
				}
				disable := failpoint.Enable(point, failpoint.Error(errs.New(errs.Unavailable, "died")).Times(1))
				got, err := h.cancel(c, o.GetId())
				disable()
				require.NoError(t, err)
				require.Equal(t, want, got.GetStatus())
				h.requireConsistent()
				require.EqualValues(t, 1_000_000, h.onHand["var_a"])
			}
			require.Equal(t, 2, h.moved["refund"])
		})
	}
}

func TestEitherCancelOrShipSucceeds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 10 {
		c := h.newCustomer()
		o := h.confirmedOrder(c)
		h.handlePayment(o.GetId(), "captured", 3)
		out := moduletest.Concurrently(2, func(i int) error {
			if i == 0 {
				_, err := h.cancel(c, o.GetId(), o.GetShopOrders()[0].GetId())
				return err
			}
			_, err := h.ship(operator(), o.GetShopOrders()[0].GetId())
			return err
		})
		require.True(t, (out[0] == nil) != (out[1] == nil), "exactly one succeeds: %v", out)
		for _, err := range out {
			require.True(t, err == nil || errs.Is(err, errs.Conflict), "%v", err)
		}
	}
	h.requireConsistent()
}

func TestShopOrdersAreShippedAndDelivered(t *testing.T) {
	t.Parallel()
	h := setup(t)
	seller, stranger := user("seller"), user("stranger")
	h.members["shp_1/"+seller.ID] = true
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	first, second := o.GetShopOrders()[0].GetId(), o.GetShopOrders()[1].GetId()

	_, err := h.ship(seller, first)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "the payment is not captured yet: %v", err)
	require.NotZero(t, errs.From(err).RetryAfter)
	h.handlePayment(o.GetId(), "captured", 3)

	for _, a := range []identity.Actor{stranger, c} {
		_, err = h.ship(a, first)
		require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	}
	_, err = h.ship(seller, second)
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another shop's: %v", err)
	_, err = h.ship(seller, "sho_none")
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = h.deliver(seller, first)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "not shipped yet: %v", err)

	for range 2 {
		p, err := h.ship(seller, first)
		require.NoError(t, err)
		require.Equal(t, "shipped", p.GetStatus())
		require.Equal(t, "BR 1", p.GetTrackingNumber())
		require.Equal(t, "Rua 1'; drop table orders; --", p.GetShippingAddress().GetLine1())
	}
	status := func() string {
		got, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
		require.NoError(t, err)
		return got.GetOrder().GetStatus()
	}
	require.Equal(t, "confirmed", status())
	_, err = h.cancel(c, o.GetId(), first)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	_, err = h.ship(operator(), second)
	require.NoError(t, err)
	require.Equal(t, "shipped", status())
	_, err = h.cancel(c, o.GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "all of it was shipped: %v", err)
	_, err = h.deliver(seller, first)
	require.NoError(t, err)
	require.Equal(t, "shipped", status())
	_, err = h.deliver(operator(), second)
	require.NoError(t, err)
	require.Equal(t, "delivered", status())
	require.Equal(t, []string{
		"evt.order.created",
		"evt.order.confirmed",
		"evt.order.shipped",
		"evt.order.shipped",
		"evt.order.delivered",
		"evt.order.delivered",
	}, h.Events(o.GetId()))
	h.requireConsistent()
}

func TestCashIsCapturedWhenTheLastShopOrderIsDelivered(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	r := checkoutRequest("")
	r.Payment.Method = "cod"
	o, err := h.checkout(c, "k", r)
	require.NoError(t, err)
	h.waitForSagas()
	require.Zero(t, h.moved["capture"])
	for _, p := range o.GetShopOrders() {
		_, err = h.ship(operator(), p.GetId())
		require.NoError(t, err)
		require.Zero(t, h.count(h.moved, "capture"))
		_, err = h.deliver(operator(), p.GetId())
		require.NoError(t, err)
	}
	waittest.Until(t, func() bool { return h.count(h.moved, "capture") == 1 }, "the cash is not captured")
	h.requireConsistent()

	c = h.newCustomer()
	o, err = h.checkout(c, "k", r)
	require.NoError(t, err)
	got, err := h.cancel(c, o.GetId())
	require.NoError(t, err)
	require.Equal(t, "voided", got.GetPayment().GetStatus(), "nothing was collected")
	h.requireConsistent()
}

func TestListsReturnOrdersNewestFirst(t *testing.T) {
	t.Parallel()
	h := setup(t)
	seller := user("seller")
	h.members["shp_1/"+seller.ID] = true
	c := h.newCustomer()
	cart := h.carts[c.ID]
	var placed []string
	for i := range 5 {
		h.fill(c.ID, cart...)
		o, err := h.checkout(c, string(rune('a'+i)), checkoutRequest("tok_ok"))
		require.NoError(t, err)
		h.waitForSagas()
		placed = append([]string{o.GetId()}, placed...)
	}
	h.fill(c.ID, cart...)
	_, err := h.checkout(c, "declined", checkoutRequest("tok_declined"))
	require.Error(t, err)

	var seen []string
	token := ""
	for {
		res, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, o := range res.GetOrders() {
			require.Len(t, o.GetShopOrders(), 2)
			require.Len(t, o.GetShopOrders()[0].GetItems(), 1)
			seen = append(seen, o.GetId())
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Equal(t, placed, seen)

	first, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{PageSize: 2})
	require.NoError(t, err)
	for _, bad := range []string{"made up", first.GetNextPageToken() + "x", "AAAA"} {
		_, err = h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{PageToken: bad})
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
		require.Equal(t, "pageToken", errs.From(err).Fields[0].Path)
	}
	_, err = h.client.ListOrders(h.As(user("other")), &orderv1.ListOrdersRequest{PageToken: first.GetNextPageToken()})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "another list's token: %v", err)
	all, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{PageSize: 1_000_000})
	require.NoError(t, err)
	require.Len(t, all.GetOrders(), 5)

	shop, err := h.client.ListShopOrders(h.As(seller), &orderv1.ListShopOrdersRequest{ShopId: "shp_1", PageSize: 3})
	require.NoError(t, err)
	require.Len(t, shop.GetShopOrders(), 3)
	require.Equal(t, placed[0], shop.GetShopOrders()[0].GetOrderId())
	require.Equal(t, "Ana <script>", shop.GetShopOrders()[0].GetShippingAddress().GetName())
	rest, err := h.client.ListShopOrders(h.As(seller),
		&orderv1.ListShopOrdersRequest{ShopId: "shp_1", PageSize: 3, PageToken: shop.GetNextPageToken()})
	require.NoError(t, err)
	require.Len(t, rest.GetShopOrders(), 2)
	require.Empty(t, rest.GetNextPageToken())
	none, err := h.client.ListShopOrders(h.As(operator()),
		&orderv1.ListShopOrdersRequest{ShopId: "shp_1", Status: "shipped"})
	require.NoError(t, err)
	require.Empty(t, none.GetShopOrders())
	_, err = h.client.ListShopOrders(h.As(c), &orderv1.ListShopOrdersRequest{ShopId: "shp_1"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	h.requireConsistent()
}

func TestOrderOfAnotherCustomerIsNotFound(t *testing.T) {
	t.Parallel()
	h := setup(t)
	o := h.confirmedOrder(h.newCustomer())
	other := user("other")
	_, err := h.client.GetOrder(h.As(other), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = h.cancel(other, o.GetId())
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = h.client.GetOrderForNotice(h.As(other), &orderv1.GetOrderForNoticeRequest{Id: o.GetId()})
	require.Error(t, err, "only the notification service")
	_, err = h.client.GetOrder(h.As(other), &orderv1.GetOrderRequest{Id: "' or 1=1 --"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	h.requireConsistent()
}

// handle applies payment events in one transaction.
func (h *harness) handle(events ...event.Event) {
	h.t.Helper()
	var b pgx.Batch
	for _, e := range events {
		require.NoError(h.t, h.store.PaymentEvents(handler.PaymentUpdate)(h.t.Context(), &b, e))
	}
	require.NoError(h.t, postgres.SendBatch(h.t.Context(), h.Pool, &b))
}

func TestPaymentEventsUpdateTheOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	status := func() string {
		got, err := h.client.GetOrder(h.As(c), &orderv1.GetOrderRequest{Id: o.GetId()})
		require.NoError(t, err)
		return got.GetOrder().GetPayment().GetStatus()
	}
	h.handlePayment(o.GetId(), "refunded", 5)
	require.Equal(t, "refunded", status())
	h.handlePayment(o.GetId(), "captured", 3)
	require.Equal(t, "refunded", status(), "an older event changes nothing")

	c = h.newCustomer()
	o = h.confirmedOrder(c)
	other := h.confirmedOrder(h.newCustomer())
	h.handle(h.paymentEvent(o.GetId(), "captured", 3), h.paymentEvent(other.GetId(), "captured", 3),
		h.paymentEvent(o.GetId(), "refunded", 4))
	require.Equal(t, "refunded", status(), "the newest of several events is applied")
	h.handle(h.paymentEvent(o.GetId(), "captured", 3))
	require.Equal(t, "refunded", status())

	c = h.newCustomer()
	o = h.confirmedOrder(c)
	_, err := h.cancel(c, o.GetId())
	require.NoError(t, err)
	h.handlePayment(o.GetId(), "captured", 3)
	require.Equal(t, "refunded", status(), "an older event after the cancellation changes nothing")
}

// While a checkout is in flight and may still be refused, the shop sees the ordered items, but not the address.
func TestShopSeesTheAddressOnlyAfterConfirmation(t *testing.T) {
	t.Parallel()
	h := setup(t)
	waiting, goOn := make(chan struct{}), make(chan struct{})
	h.before = func(method string) {
		if method == "Authorize" {
			close(waiting)
			waittest.Receive(t, goOn)
		}
	}
	c := h.newCustomer()
	done := make(chan error, 1)
	go func() {
		_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		done <- err
	}()
	waittest.Receive(t, waiting)
	list := func(status string) *orderv1.ShopOrder {
		res, err := h.client.ListShopOrders(h.As(operator()),
			&orderv1.ListShopOrdersRequest{ShopId: "shp_1", Status: status})
		require.NoError(t, err)
		require.Len(t, res.GetShopOrders(), 1)
		return res.GetShopOrders()[0]
	}
	pending := list("pending")
	require.NotEmpty(t, pending.GetItems())
	require.Nil(t, pending.GetShippingAddress())
	close(goOn)
	require.NoError(t, waittest.Receive(t, done))
	require.NotEmpty(t, list("confirmed").GetShippingAddress().GetName())
}
