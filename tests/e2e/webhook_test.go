package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"souk/apps/webhook"
	"souk/pkg/waittest"
)

type webhookMessage struct {
	header http.Header
	body   []byte
	Type   string
	Data   struct {
		OrderID, CustomerID string
		ShopOrderIDs        []string
		Shops               []struct{ ShopOrderID, ShopID string }
	}
}

// testWebhooks gives a shop and an operator webhooks, and buys from the shop and another one.
func testWebhooks(t *testing.T, s *souk) {
	got := map[string]chan webhookMessage{
		"/shop":     make(chan webhookMessage, 100),
		"/operator": make(chan webhookMessage, 10_000),
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m := webhookMessage{header: r.Header}
		var err error
		if m.body, err = io.ReadAll(r.Body); err == nil {
			err = json.Unmarshal(m.body, &m)
		}
		if err != nil {
			t.Error(err)
		}
		got[r.URL.Path] <- m
	}))
	t.Cleanup(receiver.Close)
	first, second := handle("hooks"), handle("hooks")
	seller, other, operator := s.seller(first), s.seller(second), s.user(email("operator"), "operator")
	a := seller.sell(first, "Chair", "10.00", 10).Variants[0].ID
	b := other.sell(second, "Lamp", "20.00", 10).Variants[0].ID

	var w, market struct{ ID, Secret string }
	body := obj{"url": receiver.URL + "/shop", "events": []string{"evt.order.confirmed", "evt.order.cancelled"}}
	seller.post("/v1/shops/"+first+"/webhooks", body).want(http.StatusCreated).into(&w)
	body = obj{"url": receiver.URL + "/operator", "events": []string{"evt.order.confirmed", "evt.order.cancelled"}}
	operator.post("/v1/operator/webhooks", body).want(http.StatusCreated).into(&market)
	t.Cleanup(func() { operator.send(http.MethodDelete, "/v1/webhooks/"+market.ID, nil) })
	verifies := func(m webhookMessage, secret string) {
		key, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		require.NoError(t, key.Verify(m.body, m.header))
	}

	c := s.user(email("hooks"), "customer")
	c.add(a, 1).want(http.StatusOK)
	c.add(b, 1).want(http.StatusOK)
	o := c.checkout("tok_ok").order()
	m := waittest.Receive(t, got["/shop"])
	verifies(m, w.Secret)
	require.Equal(t, "evt.order.confirmed", m.Type)
	require.Equal(t, o.ID, m.Data.OrderID)
	require.Empty(t, m.Data.CustomerID)
	require.Len(t, m.Data.Shops, 1, "its own part")
	for whole := (webhookMessage{}); whole.Data.OrderID != o.ID; { // other tests place orders, too
		whole = waittest.Receive(t, got["/operator"])
		verifies(whole, market.Secret)
		require.NotEmpty(t, whole.Data.CustomerID)
	}

	var rotated struct{ Secret string }
	seller.post("/v1/webhooks/"+w.ID+":rotateSecret", obj{}).want(http.StatusOK).into(&rotated)
	waittest.Until(t, func() bool { // the checkout may not have ended
		return c.post("/v1/orders/"+o.ID+":cancel", obj{}).status == http.StatusOK
	}, "the order cannot be cancelled")
	m = waittest.Receive(t, got["/shop"])
	verifies(m, w.Secret)
	verifies(m, rotated.Secret)
	require.Equal(t, "evt.order.cancelled", m.Type)
	require.Len(t, m.Data.ShopOrderIDs, 1)

	var log struct {
		Deliveries []struct{ ID, Status, EventID string }
	}
	waittest.Until(t, func() bool {
		seller.get("/v1/webhooks/" + w.ID + "/deliveries?status=delivered").want(http.StatusOK).into(&log)
		return len(log.Deliveries) == 2
	}, "the log has not two deliveries")
	require.Equal(t, m.header.Get("webhook-id"), log.Deliveries[0].EventID)
	other.post("/v1/webhook-deliveries/"+log.Deliveries[0].ID+":redeliver", obj{}).
		problem(http.StatusNotFound, "not_found")
	seller.post("/v1/webhook-deliveries/"+log.Deliveries[0].ID+":redeliver", obj{}).want(http.StatusOK)
	again := waittest.Receive(t, got["/shop"])
	require.Equal(t, m.header.Get("webhook-id"), again.header.Get("webhook-id"))
}

// The process dies after it has sent a message, before it has recorded that. After its restart the message is sent
// again, with the same ID.
func TestWebhookMessageIsSentAgainAfterItsProcessDied(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", []string{"SOUK_FAILPOINTS="})
	got := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("webhook-id")
	}))
	t.Cleanup(receiver.Close)
	shop := handle("hooks")
	seller := s.seller(shop)
	var w, d struct{ ID, EventID string }
	body := obj{"url": receiver.URL, "events": []string{"evt.product.created"}}
	seller.post("/v1/shops/"+shop+"/webhooks", body).want(http.StatusCreated).into(&w)
	for _, point := range webhook.Failpoints() {
		s.setFailpoints("souk", point+"=exit")
	}
	seller.post("/v1/webhooks/"+w.ID+":test", obj{}).want(http.StatusOK).into(&d)
	require.Equal(t, d.EventID, waittest.Receive(t, got))
	waittest.Receive(t, s.exited)
	s.launch()
	select {
	case again := <-got:
		require.Equal(t, d.EventID, again)
	case <-time.After(2 * time.Minute): // River looks for jobs of dead processes twice a minute
		require.Fail(t, "the message is not sent again")
	}
	waittest.Until(t, func() bool {
		var log struct{ Deliveries []struct{ Status string } }
		seller.get("/v1/webhooks/" + w.ID + "/deliveries").want(http.StatusOK).into(&log)
		return log.Deliveries[0].Status == "delivered"
	}, "the delivery is not recorded")
	s.verify()
}
