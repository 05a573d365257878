package tests

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"souk/apps/webhook"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	webhookv1 "souk/gen/go/souk/webhook/v1"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func confirmed(parts ...string) *orderv1.OrderConfirmed {
	m := &orderv1.OrderConfirmed{
		OrderId:    "ord_1",
		Number:     "S-1",
		CustomerId: visitor,
		Total:      &moneyv1.Money{CurrencyCode: "BRL", Amount: "30.00"},
	}
	for _, shopID := range parts {
		m.Shops = append(m.Shops, &orderv1.ShopPart{
			ShopOrderId: "sho_of_" + shopID,
			ShopId:      shopID,
			Total:       &moneyv1.Money{CurrencyCode: "BRL", Amount: "10.00"},
		})
	}
	return m
}

func TestShopGetsItsPartOfAnOrderSigned(t *testing.T) {
	t.Parallel()
	h := setup(t)
	mine, all := receive(t, http.StatusNoContent), receive(t, http.StatusOK)
	ofShop := h.create(mine.URL, "evt.order.*")
	ofMarket := h.createMarketplace(all.URL, "*")
	require.Regexp(t, `^whk_`, ofShop.GetId())
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, ofShop.GetSecret())

	paid := h.event("evt.payment.completed", &paymentv1.PaymentCompleted{PaymentId: "pay_1"})
	elsewhere := h.event("evt.order.confirmed", confirmed(other))
	e := h.event("evt.order.confirmed", confirmed(shop, other))
	h.Deliver("order", paid, elsewhere, e)

	m := waittest.Receive(t, mine.got)
	require.NoError(t, verify(t, ofShop.GetSecret(), m))
	require.Error(t, verify(t, ofMarket.GetSecret(), m))
	require.Equal(t, e.ID, m.id(), "the order of the other shop is not sent")
	require.Equal(t, "application/json", m.header.Get("Content-Type"))
	require.Equal(t, "evt.order.confirmed", m.Type)
	require.True(t, e.Time.Equal(m.Time))
	require.JSONEq(t, `{"orderId":"ord_1","number":"S-1","customerId":"","paymentMethod":"","shops":[
		{"shopOrderId":"sho_of_`+shop+`","shopId":"`+shop+`","total":{"currencyCode":"BRL","amount":"10.00"}}]}`,
		string(m.Data), "neither the customer nor the other shop")

	got := map[string]string{}
	for range 3 {
		m := waittest.Receive(t, all.got)
		require.NoError(t, verify(t, ofMarket.GetSecret(), m))
		got[m.id()] = m.Type
	}
	require.Equal(t, map[string]string{
		paid.ID: paid.Subject, elsewhere.ID: elsewhere.Subject, e.ID: e.Subject,
	}, got)
	d := h.ended(ofShop.GetId(), "delivered", 1)
	require.Equal(t, e.ID, d.GetEventId())
	require.Equal(t, int32(http.StatusNoContent), d.GetResponseStatus())
	require.Empty(t, d.GetFailure())
	require.Nil(t, d.GetNextAttemptAt())
	require.NotNil(t, d.GetLastAttemptAt())
}

func TestShopGetsOnlyItsPartOfCancellationsAndStock(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	h.create(r.URL, "*")
	h.Deliver("order",
		h.event("evt.order.cancelled", &orderv1.OrderCancelled{OrderId: "ord_0", Reason: "out_of_stock"}), // refused
		h.event("evt.order.cancelled", &orderv1.OrderCancelled{
			OrderId: "ord_1", CustomerId: visitor, WasConfirmed: true, ShopOrderIds: []string{"sho_1", "sho_2"},
			Shops: []*orderv1.ShopPart{
				{ShopOrderId: "sho_1", ShopId: shop}, {ShopOrderId: "sho_2", ShopId: other},
			},
		}))
	m := waittest.Receive(t, r.got)
	require.JSONEq(t, `{"orderId":"ord_1","number":"","customerId":"","reason":"","wasConfirmed":true,"partial":false,
		"shopOrderIds":["sho_1"],"shops":[{"shopOrderId":"sho_1","shopId":"`+shop+`"}]}`, string(m.Data))
	h.Deliver("product", h.event("evt.inventory.reserved", &productv1.InventoryReserved{
		OrderId: "ord_1", Lines: []*productv1.InventoryLine{
			{VariantId: "var_1", ShopId: shop, Quantity: 2}, {VariantId: "var_2", ShopId: other},
		},
	}))
	m = waittest.Receive(t, r.got)
	require.JSONEq(t, `{"orderId":"ord_1",
		"lines":[{"variantId":"var_1","productId":"","shopId":"`+shop+`","quantity":"2"}]}`, string(m.Data))
}

func TestRepeatedEventIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusOK)
	w := h.create(r.URL, "evt.product.created")
	e := h.event("evt.product.created", &productv1.ProductCreated{ProductId: "prd_1", ShopId: shop})
	h.Deliver("product", e)
	require.Equal(t, e.ID, waittest.Receive(t, r.got).id())
	for i, forget := range []string{`select`, `delete from inbox`} { // a replay, and one after the inbox has forgotten the event
		_, err := h.Pool.Exec(t.Context(), forget)
		require.NoError(t, err)
		again := e.Msg("product")
		again.Header.Set(jetstream.MsgIDHeader, fmt.Sprint(e.ID, i))
		js, err := jetstream.New(h.NATS)
		require.NoError(t, err)
		_, err = js.PublishMsg(t.Context(), again)
		require.NoError(t, err)
	}
	waittest.Until(t, func() bool { return moduletest.Value[int](h.Service, `select count(*) from inbox`) == 1 },
		"the event is not handled again")
	next := h.event("evt.product.created", &productv1.ProductCreated{ProductId: "prd_2", ShopId: shop})
	h.Deliver("product", next)
	require.Equal(t, next.ID, waittest.Receive(t, r.got).id())
	h.ended(w.GetId(), "delivered", 1)
	require.Len(t, h.deliveries(w.GetId()), 2)
}

func TestFailedMessageIsRetriedWithItsID(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusInternalServerError, http.StatusFound, http.StatusOK)
	w := h.create(r.URL, "*")
	e := h.event("evt.product.created", &productv1.ProductCreated{ProductId: "prd_1", ShopId: shop})
	h.Deliver("product", e)
	first := waittest.Receive(t, r.got)
	d := h.ended(w.GetId(), "queued", 1)
	require.Equal(t, "status", d.GetFailure())
	require.Equal(t, int32(http.StatusInternalServerError), d.GetResponseStatus())
	wait := d.GetNextAttemptAt().AsTime().Sub(d.GetLastAttemptAt().AsTime())
	require.GreaterOrEqual(t, wait, 5*time.Second)
	require.Less(t, wait, 6*time.Second)
	second := waittest.Receive(t, r.got) // River retries
	require.Equal(t, first.id(), second.id())
	require.Equal(t, first.body, second.body)
	d = h.ended(w.GetId(), "queued", 2)
	require.Equal(t, int32(http.StatusFound), d.GetResponseStatus(), "a redirect is not followed")
	require.WithinDuration(t, d.GetLastAttemptAt().AsTime().Add(5*time.Minute), d.GetNextAttemptAt().AsTime(),
		31*time.Second)

	require.NoError(t, h.redeliver(d.GetId())) // does not wait
	third := waittest.Receive(t, r.got)
	require.Equal(t, first.id(), third.id())
	require.NoError(t, verify(t, w.GetSecret(), third))
	h.ended(w.GetId(), "delivered", 3)
	require.NoError(t, h.redeliver(d.GetId())) // also what was delivered
	require.Equal(t, first.id(), waittest.Receive(t, r.got).id())
	h.ended(w.GetId(), "delivered", 4)
	require.Len(t, h.deliveries(w.GetId()), 1)
}

func TestGoneReceiverIsDisabled(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusGone)
	w := h.create(r.URL, "*")
	created := func() { // an event of the shop
		h.Deliver("product", h.event("evt.product.created", &productv1.ProductCreated{ShopId: shop}))
	}
	created()
	waittest.Receive(t, r.got)
	d := h.ended(w.GetId(), "failed", 1)
	require.Equal(t, int32(http.StatusGone), d.GetResponseStatus())
	disabled := h.get(w.GetId())
	require.Equal(t, "disabled", disabled.GetStatus())
	require.Equal(t, "gone", disabled.GetDisabledReason())
	require.Empty(t, disabled.Secret)
	require.True(t, errs.Is(h.redeliver(d.GetId()), errs.Conflict))
	_, err := h.webhook.TestWebhook(h.seller(), &webhookv1.TestWebhookRequest{Id: w.GetId()})
	require.True(t, errs.Is(err, errs.Conflict), err)
	created()
	require.Len(t, h.deliveries(w.GetId()), 1, "a disabled webhook gets nothing")

	r.answer(http.StatusOK)
	on, err := h.webhook.UpdateWebhook(
		h.seller(),
		&webhookv1.UpdateWebhookRequest{Id: w.GetId(), Status: new("active")},
	)
	require.NoError(t, err)
	require.Empty(t, on.GetWebhook().GetDisabledReason())
	require.NoError(t, h.redeliver(d.GetId()))
	waittest.Receive(t, r.got)
	h.ended(w.GetId(), "delivered", 2)
}

func TestFailingReceiverIsDisabledAfterDays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusBadGateway)
	w := h.create(r.URL, "*")
	giveUp := func() { // the last attempt at a new message
		e := h.event("evt.product.created", &productv1.ProductCreated{ShopId: shop})
		h.Deliver("product", e)
		d := h.ended(w.GetId(), "queued", 1)
		require.Equal(t, e.ID, d.GetEventId())
		_, err := h.Pool.Exec(t.Context(), `update delivery set round_attempts = 9 where id = $1`, d.GetId())
		require.NoError(t, err)
		_, err = h.Pool.Exec(
			t.Context(),
			`update river_job set state = 'available', scheduled_at = now() - interval '1 s'
			where args ->> 'id' = $1 || '/1'`,
			d.GetId(),
		)
		require.NoError(t, err)
		h.ended(w.GetId(), "failed", 2)
	}
	for range 4 {
		giveUp()
	}
	_, err := h.Pool.Exec(t.Context(), `update webhook set failing_since = failing_since - interval '6 days'`)
	require.NoError(t, err)
	require.Equal(t, "active", h.get(w.GetId()).GetStatus())
	giveUp()
	require.Equal(t, "failing", h.get(w.GetId()).GetDisabledReason())
	on, err := h.webhook.UpdateWebhook(
		h.seller(),
		&webhookv1.UpdateWebhookRequest{Id: w.GetId(), Status: new("active")},
	)
	require.NoError(t, err)
	require.Equal(t, "active", on.GetWebhook().GetStatus())
	giveUp()
	require.Equal(t, "active", h.get(w.GetId()).GetStatus(), "it begins without failures")
}

func TestSuccessForgetsFailures(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, http.StatusBadGateway, http.StatusOK)
	w := h.create(r.URL, "*")
	const failing = `select failing_since is not null from webhook`
	h.test(w.GetId())
	require.Equal(t, "status", h.ended(w.GetId(), "failed", 1).GetFailure(), "a test has one attempt")
	require.True(t, moduletest.Value[bool](h.Service, failing))
	h.test(w.GetId())
	h.ended(w.GetId(), "delivered", 1)
	require.False(t, moduletest.Value[bool](h.Service, failing))
}

// A process that dies after the message was sent leaves a job that another attempt completes.
func TestMessageIsSentAgainIfItsRecordIsLost(t *testing.T) { //nolint:paralleltest // the failpoint is global
	h := setup(t)
	r := receive(t, http.StatusOK)
	w := h.create(r.URL, "*")
	for _, name := range webhook.Failpoints() {
		t.Cleanup(failpoint.Enable(name, failpoint.Error(errors.New("the process dies")).Times(1)))
	}
	e := h.event("evt.product.created", &productv1.ProductCreated{ShopId: shop})
	h.Deliver("product", e)
	for range 2 {
		require.Equal(t, e.ID, waittest.Receive(t, r.got).id())
	}
	require.Equal(t, e.ID, h.ended(w.GetId(), "delivered", 1).GetEventId())
}

// Messages to a receiver that does not answer leave the other webhooks their place.
func TestSlowReceiverDelaysOnlyItsOwnMessages(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"allow_local": true, "concurrency": 20, "timeout": "20s"}))
	var most, busy atomic.Int32
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := busy.Add(1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		busy.Add(-1)
	}))
	t.Cleanup(slow.Close)
	quick := receive(t, http.StatusOK)
	w := h.create(slow.URL, "evt.product.created")
	h.createMarketplace(quick.URL, "evt.product.deleted")
	for range 25 {
		h.Deliver("product", h.event("evt.product.created", &productv1.ProductCreated{ShopId: shop}))
	}
	waittest.Until(t, func() bool { return busy.Load() >= 4 }, "four requests are not in flight")
	for range 5 {
		e := h.event("evt.product.deleted", &productv1.ProductDeleted{ShopId: shop})
		h.Deliver("product", e)
		require.Equal(t, e.ID, waittest.Receive(t, quick.got).id())
	}
	require.GreaterOrEqual(t, busy.Load(), int32(4))
	close(release)
	waittest.Until(t, func() bool {
		delivered := 0
		for _, d := range h.deliveries(w.GetId()) {
			if d.GetStatus() == "delivered" {
				delivered++
			}
		}
		return delivered == 20 // a page
	}, "the slow receiver did not get its messages")
	require.LessOrEqual(t, most.Load(), int32(16))
}

func TestAddressesOfThisMachineAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"allow_local": false}))
	r := receive(t, http.StatusOK)
	_, err := h.webhook.CreateShopWebhook(h.seller(),
		&webhookv1.CreateShopWebhookRequest{ShopId: shop, Url: r.URL, Events: []string{"*"}})
	require.True(t, errs.Is(err, errs.Invalid), "http: %v", err)
	for _, url := range []string{
		"https://127.0.0.1:1/", "https://localhost:1/", "https://[::1]:1/", "https://[::ffff:127.0.0.1]:1/",
		"https://169.254.169.254/latest/meta-data", "https://2130706433:1/", "https://0:1/",
	} {
		w := h.create(url, "*")
		h.test(w.GetId())
		d := h.ended(w.GetId(), "failed", 1)
		require.Contains(t, []string{"address_refused", "unreachable"}, d.GetFailure(), url)
		if url != "https://2130706433:1/" && url != "https://0:1/" { // no addresses for Go, which asks DNS
			require.Equal(t, "address_refused", d.GetFailure(), url)
		}
	}
	require.Empty(t, r.got)
}
