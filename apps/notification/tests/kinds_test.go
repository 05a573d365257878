package tests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/waittest"
)

// shop adds a shop whose owners have the addresses.
func (h *harness) shop(name string, owners ...string) (shopID string) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	shopID = id.New(id.Shop)
	res := &shopv1.GetShopForNoticeResponse{Shop: &shopv1.Shop{Id: shopID, Name: name}}
	for _, address := range owners {
		userID := id.New(id.User)
		h.others.users[userID] = &userv1.User{Id: userID, Email: address, EmailVerified: true, Name: "Sal"}
		res.OwnerIds = append(res.OwnerIds, userID)
	}
	h.others.shops[shopID] = res
	return shopID
}

// change changes an order as the order service has it.
func (h *harness) change(orderID string, f func(*orderv1.Order)) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	f(h.others.orders[orderID].GetOrder())
}

// part returns the ID of an order's first shop order.
func (h *harness) part(orderID string) (partID string) {
	h.change(orderID, func(o *orderv1.Order) { partID = o.GetShopOrders()[0].GetId() })
	return partID
}

func (h *harness) cancelled(orderID string) event.Event {
	h.t.Helper()
	return h.event("evt.order.cancelled", orderID,
		&orderv1.OrderCancelled{OrderId: orderID, Reason: "customer", WasConfirmed: true})
}

// soldBy is the event that an order of a shop was confirmed.
func (h *harness) soldBy(shopID, orderID string) event.Event {
	h.t.Helper()
	return h.event("evt.order.confirmed", orderID, &orderv1.OrderConfirmed{
		OrderId: orderID, Shops: []*orderv1.ShopPart{{ShopOrderId: h.part(orderID), ShopId: shopID}},
	})
}

// mails waits until n mails to an address have arrived, and returns them, the last one first.
func (h *harness) mails(address string, n int) []mailsink.Message {
	h.t.Helper()
	var got []mailsink.Message
	waittest.Until(h.t, func() bool {
		got = nil
		for _, m := range h.sink.Messages() {
			if slices.Contains(m.To, address) {
				got = append(got, m)
			}
		}
		return len(got) >= n
	}, "the mails to %s do not arrive", address)
	require.Len(h.t, got, n)
	return got
}

// count returns the number of mails in the state.
func (h *harness) count(state string) int {
	h.t.Helper()
	return moduletest.Value[int](h.Service, `select count(*) from `+states+` where state = $1`, state)
}

// Nothing is sent about what is cancelled within seconds, whichever the sender sees first: the order or the event.
func TestOrderCancelledWithinSecondsSendsNothing(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s"}))
	shop := h.shop("Aurora", "sal@example.com")
	for range 5 {
		order := h.place("", "stranger@example.com")
		h.Deliver("order", h.soldBy(shop, order))
		h.change(order, func(o *orderv1.Order) { o.Status, o.ShopOrders[0].Status = "cancelled", "cancelled" })
		h.Deliver("order", h.cancelled(order))
	}
	late := h.place("", "stranger@example.com")
	h.Deliver("order", h.soldBy(shop, late))
	h.change(late, func(o *orderv1.Order) { o.Status, o.ShopOrders[0].Status = "cancelled", "cancelled" })
	c.Advance(time.Minute)
	waittest.Until(t, func() bool { return h.count("skipped") == 7 }, "the mails are not skipped")
	h.Deliver("order", h.cancelled(late))
	require.Zero(t, h.count("queued"))
	require.Empty(t, h.sink.Messages())
}

// A customer learns what a shop or an operator cancelled, even if that was at once.
func TestCancellationByOthersIsAlwaysMailed(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s"}))
	whole, part := h.place("", "whole@example.com"), h.place("", "part@example.com")
	h.Deliver("order", h.confirmed(whole), h.confirmed(part))
	h.change(whole, func(o *orderv1.Order) {
		o.Status = "cancelled"
		for _, so := range o.GetShopOrders() {
			so.Status = "cancelled"
		}
	})
	h.change(part, func(o *orderv1.Order) { o.ShopOrders[0].Status = "cancelled" })
	h.Deliver("order",
		h.event("evt.order.cancelled", whole,
			&orderv1.OrderCancelled{OrderId: whole, Reason: "operator", WasConfirmed: true}),
		h.event("evt.order.cancelled", part, &orderv1.OrderCancelled{
			OrderId: part, Reason: "shop", WasConfirmed: true, Partial: true,
			ShopOrderIds: []string{"sho_1"},
		}))
	require.Equal(t, "Your order S-Ünïcode-42 was cancelled", h.mails("whole@example.com", 1)[0].Subject)
	c.Advance(10 * time.Second)
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", h.mails("part@example.com", 1)[0].Subject)
	c.Advance(time.Second)
	require.Equal(t, "A part of your order S-Ünïcode-42 was cancelled", h.mails("part@example.com", 2)[0].Subject)
	c.Advance(time.Minute)
	h.mails("whole@example.com", 1)
}

func TestOrderCancelledLaterIsMailed(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s"}))
	order := h.place("", "guest@example.com")
	h.Deliver("order", h.confirmed(order))
	c.Advance(10 * time.Second)
	h.mails("guest@example.com", 1)
	h.state(order, "sent")
	h.Deliver("order", h.cancelled(order))
	h.mails("guest@example.com", 2)
}

// Each cancelled part of an order is mailed. One that is cancelled before the confirmation is sent is left out of it.
func TestCancelledPartsAreMailed(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s"}))
	cancelPart := func(orderID string, n int, partial bool) event.Event {
		var partID string
		h.change(orderID, func(o *orderv1.Order) {
			o.ShopOrders[n].Status, partID = "cancelled", o.ShopOrders[n].GetId()
			if !partial {
				o.Status = "cancelled"
			}
		})
		return h.event("evt.order.cancelled", orderID, &orderv1.OrderCancelled{
			OrderId: orderID, WasConfirmed: true, ShopOrderIds: []string{partID}, Partial: partial,
		})
	}
	early := h.place("", "early@example.com")
	h.Deliver("order", h.confirmed(early))
	h.Deliver("order", cancelPart(early, 0, true))
	c.Advance(10 * time.Second)
	m := h.mails("early@example.com", 1)[0]
	require.Contains(t, m.Text, "Borealis")
	require.NotContains(t, m.Text, "Aurora")
	h.state(early, "sent")
	h.Deliver("order", cancelPart(early, 1, false))
	require.Equal(t, "Your order S-Ünïcode-42 was cancelled", h.mails("early@example.com", 2)[0].Subject)

	late := h.place("", "late@example.com")
	h.change(late, func(o *orderv1.Order) { o.ShopOrders = append(o.ShopOrders, &orderv1.ShopOrder{Id: "sho_3"}) })
	h.Deliver("order", h.confirmed(late))
	c.Advance(10 * time.Second)
	h.mails("late@example.com", 1)
	h.state(late, "sent")
	for n := range 2 {
		h.Deliver("order", cancelPart(late, n, true))
		got := h.mails("late@example.com", n+2)[0]
		require.Equal(t, "A part of your order S-Ünïcode-42 was cancelled", got.Subject)
	}
}

// A stranger's mailbox gets a bounded number of mails an hour, however its address is spelled and however many
// processes send. The rest is late, not lost. An account with that address still gets its own.
func TestRecipientGetsABoundedNumberOfMails(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"max_per_hour": 3}))
	another := h.Another()
	var events []event.Event
	for i := range 8 {
		address := []string{
			"stranger@gmail.com", "Stranger@GMail.com", fmt.Sprintf("stranger+%d@gmail.com", i), "st.ran.ger@googlemail.com",
		}[i%4]
		events = append(events, h.confirmed(h.place("", address)))
	}
	h.Deliver("order", events...)
	waittest.Until(
		t,
		func() bool { return h.count("sent") == 3 && h.count("queued") == 5 },
		"the mails are not bounded",
	)
	own := h.place("stranger@gmail.com", "")
	h.Deliver("order", h.confirmed(own))
	h.state(own, "sent")
	require.Len(t, h.sink.Messages(), 4)

	c.Advance(59 * time.Minute)
	waittest.Until(
		t,
		func() bool { return h.Metric("delivery_delayed_total")+another.Metric("delivery_delayed_total") == 10 },
		"the mails are not due again",
	)
	require.Len(t, h.sink.Messages(), 4)
	c.Advance(11 * time.Minute)
	waittest.Until(t, func() bool { return h.count("sent") == 7 && h.count("queued") == 2 }, "the mails are lost")
	require.Zero(
		t,
		moduletest.Value[int](h.Service, `select count(*) from recipient_mail where recipient::text like '%gmail%'`),
	)
}

func TestOperatorsChangeHowManyMailsARecipientGetsAndHowLongTheyWait(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c))
	require.Equal(t, map[string]any{"notification.hold": "0s", "notification.max_per_hour": 10.0}, h.Configured())
	h.Set("notification.max_per_hour", 1)
	first, second := h.place("", "zoe@example.com"), h.place("", "zoe@example.com")
	h.Deliver("order", h.confirmed(first))
	h.state(first, "sent")
	h.Deliver("order", h.confirmed(second))
	waittest.Until(t, func() bool { return h.Metric("delivery_delayed_total") == 1 }, "the second mail does not wait")
	h.Set("notification.max_per_hour", 2)
	c.Advance(11 * time.Minute)
	h.state(second, "sent")

	h.Set("notification.hold", "1h")
	held := h.place("", "leo@example.com")
	h.Deliver("order", h.confirmed(held))
	const wait = `select extract(epoch from due_at - created_at)::int from notice where order_id = $1`
	require.Equal(t, 3600, moduletest.Value[int](h.Service, wait, held))
}

func TestCustomerIsToldOfShipmentAndDelivery(t *testing.T) {
	t.Parallel()
	h := setup(t)
	order := h.place("zoe@example.com", "")
	h.change(order, func(o *orderv1.Order) {
		o.ShopOrders[0].Carrier, o.ShopOrders[0].TrackingNumber = "Correios", "BR123"
	})
	part := h.part(order)
	h.Deliver("order", h.event("evt.order.shipped", order, &orderv1.OrderShipped{OrderId: order, ShopOrderId: part}))
	shipped := h.mails("zoe@example.com", 1)[0]
	require.Equal(t, "Your order S-Ünïcode-42 is on its way", shipped.Subject)
	for _, want := range []string{
		"Hello Zoë <Müller>,", "Aurora & Söhne has sent its part", "Correios, tracking number BR123", "Чай 🍵 (Size: M & L)",
		"Your order: https://souk.example/v1/orders/" + order,
	} {
		require.Contains(t, shipped.Text, want)
	}
	require.NotContains(t, shipped.Text, "Cup", "of another shop")
	require.NotContains(t, shipped.HTML, "<script>")

	for range 2 { // the event is replayed
		delivered := &orderv1.OrderDelivered{OrderId: order, ShopOrderId: part}
		h.Deliver("order", h.event("evt.order.delivered", order, delivered))
	}
	waittest.Until(t, func() bool { return h.count("queued") == 0 }, "a delivery waits")
	h.mails("zoe@example.com", 2)
}

// All owners of a shop get mails about new orders, one for those of a while.
func TestOwnersAreToldOfNewOrders(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s", "max_per_hour": 100}))
	shop := h.shop("Aurora", "sal@example.com", "sam@example.com")
	h.Deliver("order", h.soldBy(shop, h.place("", "a@example.com")), h.soldBy(shop, h.place("", "b@example.com")))
	h.Deliver("order", h.soldBy(shop, h.place("", "c@example.com")))
	c.Advance(10 * time.Second)
	for _, owner := range []string{"sal@example.com", "sam@example.com"} {
		m := h.mails(owner, 1)[0]
		require.Equal(t, []string{owner}, m.To)
		require.Equal(t, "3 new orders for Aurora", m.Subject)
		require.Contains(t, m.Text, "Order S-Ünïcode-42, BRL 39.80")
		require.Contains(t, m.Text, "2 x <script>")
		require.Contains(t, m.Text, "https://souk.example/v1/shops/"+shop+"/orders")
		require.NotContains(t, m.Text, "Secret Street", "a mail is no place for a customer's address")
	}

	// A busy shop gets six mails an hour, which list all orders.
	orders := 3
	for mails := 2; mails <= 7; mails++ {
		h.Deliver("order", h.soldBy(shop, h.place("", fmt.Sprint(mails, "@example.com"))))
		orders++
		c.Advance(10 * time.Second)
		if mails <= 6 {
			h.mails("sal@example.com", mails)
		}
	}
	h.Deliver("order", h.soldBy(shop, h.place("", "last@example.com")))
	c.Advance(58 * time.Minute)
	h.mails("sal@example.com", 6)
	c.Advance(2 * time.Minute)
	require.Equal(t, "2 new orders for Aurora", h.mails("sal@example.com", 7)[0].Subject)
}

// The owners learn that an order was cancelled if they had a notice of it, unless a member cancelled it.
func TestOwnersAreToldOfCancelledOrdersThatTheyKnow(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c), moduletest.Config(map[string]any{"hold": "10s"}))
	shop := h.shop("Aurora", "sal@example.com", "sam@example.com")
	cancel := func(orderID, reason string) event.Event {
		h.change(orderID, func(o *orderv1.Order) {
			o.Status, o.ShopOrders[0].Status, o.ShopOrders[0].ShopId = "cancelled", "cancelled", shop
		})
		return h.event("evt.order.cancelled", orderID, &orderv1.OrderCancelled{
			OrderId: orderID, WasConfirmed: true, Reason: reason, ShopOrderIds: []string{h.part(orderID)},
		})
	}
	early, late, own := h.place("", "a@example.com"), h.place("", "b@example.com"), h.place("", "c@example.com")
	h.Deliver("order", h.soldBy(shop, early), h.soldBy(shop, late), h.soldBy(shop, own))
	h.Deliver("order", cancel(early, "customer"))
	c.Advance(10 * time.Second)
	require.Equal(t, "2 new orders for Aurora", h.mails("sal@example.com", 1)[0].Subject)
	h.mails("sam@example.com", 1)
	c.Advance(time.Second)
	h.Deliver("order", cancel(late, "customer"), cancel(own, "shop"))
	c.Advance(10 * time.Second)
	for _, owner := range []string{"sal@example.com", "sam@example.com"} {
		require.Equal(t, "Order S-Ünïcode-42 was cancelled", h.mails(owner, 2)[0].Subject)
	}
	waittest.Until(t, func() bool { return h.count("queued") == 0 }, "a delivery waits")
	h.mails("sal@example.com", 2)
}

func TestOwnersAreToldOfLowStockAndOfTheirShopsStatus(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop := h.shop("Aurora", "sal@example.com")
	nobodys := h.shop("Nobody's")
	for _, it := range []struct {
		shop, sku string
		left      int64
	}{{shop, "T-1", 5}, {shop, "T-2", 0}, {nobodys, "X", 1}} {
		variant := id.New(id.Variant)
		low := &productv1.InventoryLow{
			ShopId:    it.shop,
			VariantId: variant,
			Sku:       it.sku,
			Title:     "Tea",
			Available: it.left,
		}
		h.Deliver("product", h.event("evt.inventory.low", variant, low))
	}
	first := h.mails("sal@example.com", 1)[0]
	require.Equal(t, "Low stock at Aurora", first.Subject)
	require.Contains(t, first.Text, "Tea (T-1): 5 available")

	verified := h.event("evt.shop.verified", shop, &shopv1.ShopVerified{ShopId: shop, Name: "Aurora"})
	h.Deliver("shop", verified)
	h.mails("sal@example.com", 2)
	suspended, err := event.New(context.Background(), "evt.shop.suspended", shop, 3, time.Now(),
		&shopv1.ShopSuspended{ShopId: shop, Name: "Aurora"})
	require.NoError(t, err)
	h.Deliver("shop", suspended)
	var subjects []string
	for _, m := range h.mails("sal@example.com", 3) {
		subjects = append(subjects, m.Subject)
	}
	require.Subset(t, subjects, []string{"Your shop Aurora is verified", "Your shop Aurora is suspended"})
	waittest.Until(t, func() bool { return h.count("skipped") == 1 }, "the mail to nobody is not skipped")
}

// Each refund of a payment is a notice of its own.
func TestCustomerIsNotifiedOfRefunds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	order, payment := h.place("zoe@example.com", ""), id.New(id.Payment)
	refund := func(amount, total int64) event.Event {
		return h.event("evt.payment.refunded", payment, &paymentv1.PaymentRefunded{
			PaymentId: payment, OrderId: order, Amount: money.New(amount, "BRL").ToProto(),
			TotalRefunded: money.New(total, "BRL").ToProto(),
		})
	}
	h.Deliver("payment", refund(1000, 1000), refund(1000, 1000), refund(500, 1500))
	var subjects []string
	for _, m := range h.mails("zoe@example.com", 2) {
		subjects = append(subjects, m.Subject)
	}
	require.ElementsMatch(t, []string{
		"BRL 10.00 of your order S-Ünïcode-42 was paid back", "BRL 5.00 of your order S-Ünïcode-42 was paid back",
	}, subjects)
	h.inbox(h.customer(order), 2)
}

func TestInvitedPersonGetsAMail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	open, ended := id.New(id.Invitation), id.New(id.Invitation)
	h.others.invitations[open] = &shopv1.Invitation{
		Id:       open,
		ShopName: "Aurora",
		Email:    "new@example.com",
		Role:     "staff",
	}
	for _, invitation := range []string{open, ended} {
		h.Deliver("shop", h.event("evt.shop.member_invited", invitation,
			&shopv1.MemberInvited{InvitationId: invitation, Role: "staff"}))
	}
	m := h.mails("new@example.com", 1)[0]
	require.Equal(t, "An invitation to Aurora", m.Subject)
	require.Contains(t, m.Text, "https://souk.example/v1/me/invitations")
	waittest.Until(t, func() bool { return h.count("skipped") == 1 }, "an ended invitation is mailed")
	h.Stop()
	require.NotContains(t, h.Logs(), "new@example.com")
}

// Names that hold a web address are refused when they are typed. Mails leave out those that were stored before.
func TestStoredNameWithAWebAddressIsLeftOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	order := h.place("", "stranger@example.com")
	h.change(order, func(o *orderv1.Order) { o.ShippingAddress.Name = "You won! evil.com/prize" })
	h.Deliver("order", h.confirmed(order))
	m := h.mails("stranger@example.com", 1)[0]
	require.True(t, strings.HasPrefix(m.Text, "Hello,\n"), m.Text)
	require.NotContains(t, m.Headers["To"][0], "evil.com")
}

// Sellers name what they sell as they like. A guest can have their words sent to anybody, so mails leave out web
// addresses.
func TestWebAddressesOfSellersAreLeftOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for title, want := range map[string]string{
		"Claim your prize: www.evil.com":       "2 x Claim your prize: (Size: M)",
		"You won! http://evil.example/a Enjoy": "2 x You won! Enjoy (Size: M)",
		"evil . com":                           "2 x an item (Size: M)",
		"evil.com":                             "2 x an item (Size: M)",
	} {
		owner, customer := id.New(id.User)+"@owner.example", id.New(id.User)+"@customer.example"
		shop, order := h.shop("Aurora", owner), h.place("", customer)
		h.change(order, func(o *orderv1.Order) {
			part := o.GetShopOrders()[0]
			part.Items[0].Title = title
			part.Items[0].Options = map[string]string{"Size": "M", "Claim": "bit.ly", "evil.com": "x"}
			part.ShopName, part.Carrier, part.TrackingNumber = "Win evil.com", "at http://evil.example", "evil.example/x"
			o.ShippingAddress.Line1 = "evil.com"
		})
		shipped := &orderv1.OrderShipped{OrderId: order, ShopOrderId: h.part(order)}
		h.Deliver("order", h.soldBy(shop, order), h.event("evt.order.shipped", order, shipped))
		for _, m := range append(h.mails(customer, 2), h.mails(owner, 1)...) {
			require.NotContains(t, m.Text+m.HTML, "evil")
			require.NotContains(t, m.Text+m.HTML, "bit.ly")
			require.Contains(t, m.Text, want)
		}
	}
	shop, variant := h.shop("Aurora", "sal@example.com"), id.New(id.Variant)
	h.Deliver("product", h.event("evt.inventory.low", variant, &productv1.InventoryLow{
		ShopId: shop, VariantId: variant, Sku: "evil.com/sku", Title: "Tea evil.com", Available: 5,
	}))
	low := h.mails("sal@example.com", 1)[0]
	require.NotContains(t, low.Text+low.HTML, "evil")
	require.Contains(t, low.Text, "Tea: 5 available")
}

// An event that is read for the first time long after it happened needs no mail.
func TestOldEventsSendNothing(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Clock(clock.NewManual(time.Now().Add(73*time.Hour))))
	h.Deliver("order", h.confirmed(h.place("", "guest@example.com")))
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from notice`))
}
