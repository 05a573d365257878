package tests

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"souk/apps/webhook"
	shopv1 "souk/gen/go/souk/shop/v1"
	webhookv1 "souk/gen/go/souk/webhook/v1"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	seller   = "usr_00000000000000000000000000000001"
	visitor  = "usr_00000000000000000000000000000002"
	operator = "usr_00000000000000000000000000000003"
	shop     = "shp_00000000000000000000000000000001"
	other    = "shp_00000000000000000000000000000002"
)

// harness is the webhook service, which may send to this machine, with a fake of the shop service.
type harness struct {
	*moduletest.Service
	t       *testing.T
	webhook webhookv1.WebhookServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	opts = append([]moduletest.Option{
		moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, shops{}) }),
		moduletest.Config(map[string]any{"allow_local": true}),
	}, opts...)
	s := moduletest.Start(t, webhook.Module, opts...)
	return &harness{Service: s, t: t, webhook: webhookv1.NewWebhookServiceClient(s.Client("gateway"))}
}

// shops has two shops. The seller is a member of the first.
type shops struct {
	shopv1.UnimplementedShopServiceServer
}

func (shops) CheckMembership(
	_ context.Context, r *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	switch r.GetShopId() {
	case shop, "the-shop":
		return &shopv1.CheckMembershipResponse{ShopId: shop, Member: r.GetUserId() == seller}, nil
	case other:
		return &shopv1.CheckMembershipResponse{ShopId: other}, nil
	}
	return &shopv1.CheckMembershipResponse{}, nil
}

func (h *harness) seller() context.Context   { return h.AsUser(seller) }
func (h *harness) operator() context.Context { return h.AsUser(operator, "operator") }

// create creates a webhook of the shop.
func (h *harness) create(url string, events ...string) *webhookv1.Webhook {
	h.t.Helper()
	res, err := h.webhook.CreateShopWebhook(h.seller(),
		&webhookv1.CreateShopWebhookRequest{ShopId: shop, Url: url, Events: events})
	require.NoError(h.t, err)
	return res.GetWebhook()
}

// createMarketplace creates a webhook of the marketplace.
func (h *harness) createMarketplace(url string, events ...string) *webhookv1.Webhook {
	h.t.Helper()
	res, err := h.webhook.CreateMarketplaceWebhook(h.operator(),
		&webhookv1.CreateMarketplaceWebhookRequest{Url: url, Events: events})
	require.NoError(h.t, err)
	return res.GetWebhook()
}

func (h *harness) get(webhookID string) *webhookv1.Webhook {
	h.t.Helper()
	res, err := h.webhook.GetWebhook(h.operator(), &webhookv1.GetWebhookRequest{Id: webhookID})
	require.NoError(h.t, err)
	return res.GetWebhook()
}

func (h *harness) deliveries(webhookID string) []*webhookv1.WebhookDelivery {
	h.t.Helper()
	res, err := h.webhook.ListWebhookDeliveries(h.operator(), &webhookv1.ListWebhookDeliveriesRequest{Id: webhookID})
	require.NoError(h.t, err)
	return res.GetDeliveries()
}

// ended waits until the newest delivery of a webhook has a status, and returns it.
func (h *harness) ended(webhookID, status string, attempts int32) (d *webhookv1.WebhookDelivery) {
	h.t.Helper()
	waittest.Until(h.t, func() bool {
		if all := h.deliveries(webhookID); len(all) > 0 {
			d = all[0]
		}
		return d.GetStatus() == status && d.GetAttempts() == attempts
	}, "the newest delivery of %s is not %s after %d attempts", webhookID, status, attempts)
	return d
}

func (h *harness) test(webhookID string) *webhookv1.WebhookDelivery {
	h.t.Helper()
	res, err := h.webhook.TestWebhook(h.operator(), &webhookv1.TestWebhookRequest{Id: webhookID})
	require.NoError(h.t, err)
	return res.GetDelivery()
}

func (h *harness) redeliver(deliveryID string) error {
	_, err := h.webhook.RedeliverWebhook(h.operator(), &webhookv1.RedeliverWebhookRequest{Id: deliveryID})
	return err
}

// event is an event that happens now.
func (h *harness) event(subject string, m proto.Message) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), subject, id.New(id.Order), 1, time.Now(), m)
	require.NoError(h.t, err)
	return e
}

// message is a message that a receiver got.
type message struct {
	header http.Header
	body   []byte
	Type   string
	Time   time.Time       `json:"timestamp"`
	Data   json.RawMessage `json:"data"`
}

func (m message) id() string { return m.header.Get("webhook-id") }

func verify(t *testing.T, secret string, m message) error {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return w.Verify(m.body, m.header)
}

// receiver is the system of a shop.
type receiver struct {
	URL string
	got chan message

	mu     sync.Mutex
	status []int // of the next answers; the last one stays
}

// receive starts a receiver that answers with the statuses, one after the other.
func receive(t *testing.T, status ...int) *receiver {
	t.Helper()
	r := &receiver{got: make(chan message, 1000), status: status}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		m := message{header: req.Header, body: body}
		if err != nil || json.Unmarshal(body, &m) != nil || req.Method != http.MethodPost {
			t.Errorf("%s %s: %v", req.Method, body, err)
		}
		r.got <- m
		if next := r.next(); next >= 300 && next < 400 {
			http.Redirect(w, req, "/elsewhere", next)
		} else {
			w.WriteHeader(next)
		}
	}))
	t.Cleanup(srv.Close)
	r.URL = srv.URL
	return r
}

func (r *receiver) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := r.status[0]
	if len(r.status) > 1 {
		r.status = r.status[1:]
	}
	return status
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = []int{status}
}
