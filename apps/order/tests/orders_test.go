package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/identity"
)

func (k *kit) cancel(c identity.Actor, orderID string) (*orderv1.Order, error) {
	res, err := k.client.CancelOrder(k.as(c), &orderv1.CancelOrderRequest{Id: orderID, Reason: "changed my mind"})
	return res.GetOrder(), err
}

func (k *kit) ship(a identity.Actor, partID string) (*orderv1.ShopOrder, error) {
	res, err := k.client.ShipShopOrder(k.as(a), &orderv1.ShipShopOrderRequest{Id: partID, Carrier: "Correios", TrackingNumber: "BR 1"})
	return res.GetShopOrder(), err
}

func (k *kit) deliver(a identity.Actor, partID string) (*orderv1.ShopOrder, error) {
	res, err := k.client.DeliverShopOrder(k.as(a), &orderv1.DeliverShopOrderRequest{Id: partID})
	return res.GetShopOrder(), err
}

func operator() identity.Actor {
	return identity.Actor{Kind: identity.KindUser, ID: "usr_operator", Roles: []string{identity.RoleOperator}}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	o := k.bought(c)
	for range 2 {
		got, err := k.cancel(c, o.GetId())
		require.NoError(t, err)
		require.Equal(t, "cancelled", got.GetStatus())
		require.Equal(t, "refunded", got.GetPayment().GetStatus())
		require.Equal(t, "cancelled", got.GetShopOrders()[1].GetStatus())
	}
	require.Equal(t, 1, k.count(k.moved, "refund"))
	require.EqualValues(t, 1_000_000, k.onHand["var_a"])
	require.Equal(t, []string{"evt.order.created", "evt.order.confirmed", "evt.order.cancelled"}, k.events(o.GetId()))
	_, err := k.ship(operator(), o.GetShopOrders()[0].GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	list, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetOrders(), 1, "a cancelled order stays in the history")
	k.clean()
}

func TestCancelManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	o := k.bought(c)
	for _, err := range together(20, func(int) error { _, err := k.cancel(c, o.GetId()); return err }) {
		require.NoError(t, err)
	}
	require.Equal(t, 1, k.moved["refund"])
	k.clean()
}

func TestCancelWhileTheCheckoutRuns(t *testing.T) {
	t.Parallel()
	k := setup(t)
	reached, goOn := make(chan struct{}), make(chan struct{})
	k.before = func(method string) {
		if method == "Capture" {
			close(reached)
			<-goOn
		}
	}
	c := k.shopping()
	o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	<-reached
	done := make(chan error, 1)
	go func() {
		_, err := k.cancel(c, o.GetId())
		done <- err
	}()
	k.eventually(func() bool {
		var cancelling bool
		require.NoError(t, k.pool.QueryRow(t.Context(), `select cancel_id <> '' from orders`).Scan(&cancelling))
		return cancelling
	})
	close(goOn)
	require.NoError(t, <-done, "it waits for the rest of the checkout")
	require.Equal(t, "refunded", k.money[o.GetId()].GetStatus())
	k.clean()
}

func TestCancelGivesUpOnACheckoutThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	k.mu.Lock()
	for range 10_000 {
		k.fail["Capture"] = append(k.fail["Capture"], errs.New(errs.Unavailable, "down"))
	}
	k.mu.Unlock()
	o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	_, err = k.cancel(c, o.GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	k.mu.Lock()
	k.fail["Capture"] = nil
	k.mu.Unlock()
	k.ended()
	got, err := k.cancel(c, o.GetId())
	require.NoError(t, err, "and can be asked again")
	require.Equal(t, "cancelled", got.GetStatus())
	k.clean()
}

func TestCancelDiesAnywhere(t *testing.T) {
	// Not parallel: failpoints are the process's.
	for _, point := range []string{
		"cancel.after_start", "cancel.before_await_checkout", "cancel.before_accept", "cancel.after_accept", "cancel.before_pay_back",
		"cancel.after_pay_back", "cancel.before_restock", "cancel.after_restock", "cancel.before_finish", "cancel.after_finish", "cancel.before_end",
	} {
		t.Run(point, func(t *testing.T) {
			k := setup(t)
			c := k.shopping()
			o := k.bought(c)
			t.Cleanup(failpoint.Enable(point, failpoint.Error(errs.New(errs.Unavailable, "died")).Times(1)))
			got, err := k.cancel(c, o.GetId())
			require.NoError(t, err)
			require.Equal(t, "cancelled", got.GetStatus())
			k.clean()
			require.Equal(t, 1, k.moved["refund"])
			require.EqualValues(t, 1_000_000, k.onHand["var_a"])
		})
	}
}

func TestCancelOrShip(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for range 10 {
		c := k.shopping()
		o := k.bought(c)
		k.paid(o.GetId(), "captured", 3)
		out := together(2, func(i int) error {
			if i == 0 {
				_, err := k.cancel(c, o.GetId())
				return err
			}
			_, err := k.ship(operator(), o.GetShopOrders()[0].GetId())
			return err
		})
		require.True(t, (out[0] == nil) != (out[1] == nil), "one of them wins: %v", out)
		for _, err := range out {
			require.True(t, err == nil || errs.Is(err, errs.Conflict), "%v", err)
		}
	}
	k.clean()
}

func TestShipAndDeliver(t *testing.T) {
	t.Parallel()
	k := setup(t)
	seller, stranger := user("seller"), user("stranger")
	k.members["shp_1/"+seller.ID] = true
	c := k.shopping()
	o := k.bought(c)
	first, second := o.GetShopOrders()[0].GetId(), o.GetShopOrders()[1].GetId()

	_, err := k.ship(seller, first)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "the money has not come yet: %v", err)
	require.NotZero(t, errs.From(err).RetryAfter)
	k.paid(o.GetId(), "captured", 3)

	for _, a := range []identity.Actor{stranger, c} {
		_, err = k.ship(a, first)
		require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	}
	_, err = k.ship(seller, second)
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another shop's: %v", err)
	_, err = k.ship(seller, "sho_none")
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = k.deliver(seller, first)
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "not shipped yet: %v", err)

	for range 2 {
		p, err := k.ship(seller, first)
		require.NoError(t, err)
		require.Equal(t, "shipped", p.GetStatus())
		require.Equal(t, "BR 1", p.GetTrackingNumber())
		require.Equal(t, "Rua 1'; drop table orders; --", p.GetShippingAddress().GetLine1())
	}
	status := func() string {
		got, err := k.client.GetOrder(k.as(c), &orderv1.GetOrderRequest{Id: o.GetId()})
		require.NoError(t, err)
		return got.GetOrder().GetStatus()
	}
	require.Equal(t, "confirmed", status())
	_, err = k.cancel(c, o.GetId())
	require.Equal(t, errs.Conflict, errs.CodeOf(err), "%v", err)
	_, err = k.ship(operator(), second)
	require.NoError(t, err)
	require.Equal(t, "shipped", status())
	_, err = k.deliver(seller, first)
	require.NoError(t, err)
	require.Equal(t, "shipped", status())
	_, err = k.deliver(operator(), second)
	require.NoError(t, err)
	require.Equal(t, "delivered", status())
	require.Equal(t, []string{
		"evt.order.created", "evt.order.confirmed", "evt.order.shipped", "evt.order.shipped", "evt.order.delivered", "evt.order.delivered",
	}, k.events(o.GetId()))
	k.clean()
}

func TestCashOnDelivery(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	r := checkoutRequest("")
	r.Payment.Method = "cod"
	o, err := k.checkout(c, "k", r)
	require.NoError(t, err)
	k.ended()
	require.Zero(t, k.moved["capture"])
	for _, p := range o.GetShopOrders() {
		_, err = k.ship(operator(), p.GetId())
		require.NoError(t, err)
		require.Zero(t, k.count(k.moved, "capture"))
		_, err = k.deliver(operator(), p.GetId())
		require.NoError(t, err)
	}
	k.eventually(func() bool { return k.count(k.moved, "capture") == 1 })
	k.clean()

	c = k.shopping()
	o, err = k.checkout(c, "k", r)
	require.NoError(t, err)
	got, err := k.cancel(c, o.GetId())
	require.NoError(t, err)
	require.Equal(t, "voided", got.GetPayment().GetStatus(), "nothing was collected")
	k.clean()
}

func TestHistory(t *testing.T) {
	t.Parallel()
	k := setup(t)
	seller := user("seller")
	k.members["shp_1/"+seller.ID] = true
	c := k.shopping()
	cart := k.carts[c.ID]
	var placed []string
	for i := range 5 {
		k.fill(c.ID, cart...)
		o, err := k.checkout(c, string(rune('a'+i)), checkoutRequest("tok_ok"))
		require.NoError(t, err)
		k.ended()
		placed = append([]string{o.GetId()}, placed...)
	}
	k.fill(c.ID, cart...)
	_, err := k.checkout(c, "declined", checkoutRequest("tok_declined"))
	require.Error(t, err)

	var seen []string
	token := ""
	for {
		res, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{PageSize: 2, PageToken: token})
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

	first, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{PageSize: 2})
	require.NoError(t, err)
	for _, bad := range []string{"made up", first.GetNextPageToken() + "x", "AAAA"} {
		_, err = k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{PageToken: bad})
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
		require.Equal(t, "pageToken", errs.From(err).Fields[0].Path)
	}
	_, err = k.client.ListOrders(k.as(user("other")), &orderv1.ListOrdersRequest{PageToken: first.GetNextPageToken()})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "another list's token: %v", err)
	all, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{PageSize: 1_000_000})
	require.NoError(t, err)
	require.Len(t, all.GetOrders(), 5)

	shop, err := k.client.ListShopOrders(k.as(seller), &orderv1.ListShopOrdersRequest{ShopId: "shp_1", PageSize: 3})
	require.NoError(t, err)
	require.Len(t, shop.GetShopOrders(), 3)
	require.Equal(t, placed[0], shop.GetShopOrders()[0].GetOrderId())
	require.Equal(t, "Ana <script>", shop.GetShopOrders()[0].GetShippingAddress().GetName())
	rest, err := k.client.ListShopOrders(k.as(seller), &orderv1.ListShopOrdersRequest{ShopId: "shp_1", PageSize: 3, PageToken: shop.GetNextPageToken()})
	require.NoError(t, err)
	require.Len(t, rest.GetShopOrders(), 2)
	require.Empty(t, rest.GetNextPageToken())
	none, err := k.client.ListShopOrders(k.as(operator()), &orderv1.ListShopOrdersRequest{ShopId: "shp_1", Status: "shipped"})
	require.NoError(t, err)
	require.Empty(t, none.GetShopOrders())
	_, err = k.client.ListShopOrders(k.as(c), &orderv1.ListShopOrdersRequest{ShopId: "shp_1"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	k.clean()
}

func TestSomebodyElsesOrder(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.bought(k.shopping())
	other := user("other")
	_, err := k.client.GetOrder(k.as(other), &orderv1.GetOrderRequest{Id: o.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = k.cancel(other, o.GetId())
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	_, err = k.client.GetOrderForNotice(k.as(other), &orderv1.GetOrderForNoticeRequest{Id: o.GetId()})
	require.Error(t, err, "only the notification service")
	_, err = k.client.GetOrder(k.as(other), &orderv1.GetOrderRequest{Id: "' or 1=1 --"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "%v", err)
	k.clean()
}

func TestNewsOfThePayment(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	o := k.bought(c)
	status := func() string {
		got, err := k.client.GetOrder(k.as(c), &orderv1.GetOrderRequest{Id: o.GetId()})
		require.NoError(t, err)
		return got.GetOrder().GetPayment().GetStatus()
	}
	k.paid(o.GetId(), "refunded", 5)
	require.Equal(t, "refunded", status())
	k.paid(o.GetId(), "captured", 3)
	require.Equal(t, "refunded", status(), "old news change nothing")

	c = k.shopping()
	o = k.bought(c)
	other := k.bought(k.shopping())
	k.hear(k.news(o.GetId(), "captured", 3), k.news(other.GetId(), "captured", 3), k.news(o.GetId(), "refunded", 4))
	require.Equal(t, "refunded", status(), "of several news the newest counts")
	k.hear(k.news(o.GetId(), "captured", 3))
	require.Equal(t, "refunded", status())

	c = k.shopping()
	o = k.bought(c)
	_, err := k.cancel(c, o.GetId())
	require.NoError(t, err)
	k.paid(o.GetId(), "captured", 3)
	require.Equal(t, "refunded", status(), "nor does what comes after the cancellation")
}

// TestAShopLearnsTheAddressWithTheOrder: of a checkout that is under way, and may be refused, it sees what is wanted of it.
func TestAShopLearnsTheAddressWithTheOrder(t *testing.T) {
	t.Parallel()
	k := setup(t)
	waiting, goOn := make(chan struct{}), make(chan struct{})
	k.before = func(method string) {
		if method == "Authorize" {
			close(waiting)
			<-goOn
		}
	}
	c := k.shopping()
	done := make(chan error, 1)
	go func() {
		_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		done <- err
	}()
	<-waiting
	list := func(status string) *orderv1.ShopOrder {
		res, err := k.client.ListShopOrders(k.as(operator()), &orderv1.ListShopOrdersRequest{ShopId: "shp_1", Status: status})
		require.NoError(t, err)
		require.Len(t, res.GetShopOrders(), 1)
		return res.GetShopOrders()[0]
	}
	pending := list("pending")
	require.NotEmpty(t, pending.GetItems())
	require.Nil(t, pending.GetShippingAddress())
	close(goOn)
	require.NoError(t, <-done)
	require.NotEmpty(t, list("confirmed").GetShippingAddress().GetName())
}
