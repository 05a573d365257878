package tests

import (
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/apps/payment"
	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "a-secret-of-the-sandbox"
	former = "the-secret-before-that"
)

// timers records the sandbox's waits and ends them at once.
type timers struct {
	mu    sync.Mutex
	waits []time.Duration
}

func (t *timers) after(d time.Duration) <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = append(t.waits, d)
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

func (t *timers) waited() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]time.Duration(nil), t.waits...)
}

// process is what another process of the service has: the use cases and the sandbox. A test uses it for what no call
// reaches, such as a lost answer or one pass of a chore. Its calls are not retried, unlike those of the clients.
type process struct {
	svc     *service.Service
	sandbox *sandbox.Provider
	timers  *timers
}

// newProcess returns a process whose sandbox posts webhooks to webhookURL, unless that is "".
func newProcess(t testing.TB, pool *pgxpool.Pool, c clock.Clock, webhookURL string) *process {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p := &process{timers: &timers{}}
	p.sandbox = sandbox.New(sandbox.Options{
		DB: pool, Clock: c, Logger: zap.NewNop(), Secret: secrets.Plain(secret),
		WebhookURL: webhookURL, HTTP: &http.Client{Transport: transport},
		LostAfter: time.Second, SlowFor: 3 * time.Second, After: p.timers.after,
	})
	p.svc = service.New(service.Deps{
		Store:           repository.New(pool, func() {}),
		Breakers:        breaker.NewRegistry(breaker.Options{MinRequests: 1 << 30}, nil),
		Clock:           c,
		Logger:          zap.NewNop(),
		Provider:        p.sandbox,
		ProviderName:    sandbox.Name,
		ProviderTimeout: 30 * time.Second,
	})
	return p
}

// harness is the payment service with the sandbox as its provider, clients of it, and another process of it.
type harness struct {
	*moduletest.Service
	*process
	t              testing.TB
	clock          *clock.Manual
	order, gateway paymentv1.PaymentServiceClient
}

// setup starts the service. Its clock stands still, and its sandbox answers at once and sends no webhooks. It
// reconciles and delivers nothing: the harness's process does.
func setup(t testing.TB, opts ...moduletest.Option) *harness {
	t.Helper()
	h := &harness{t: t, clock: clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))}
	h.Service = moduletest.Start(t, payment.Module, append([]moduletest.Option{
		moduletest.Clock(h.clock),
		moduletest.Config(map[string]any{
			"provider": sandbox.Name, "provider_timeout": "30s", "reconcile": map[string]any{"open_for": "87600h"},
		}),
		inSandbox(map[string]any{}),
	}, opts...)...)
	h.order = paymentv1.NewPaymentServiceClient(h.Client("order"))
	h.gateway = paymentv1.NewPaymentServiceClient(h.Client("gateway"))
	h.process = newProcess(t, h.Pool, h.clock, "")
	return h
}

// inSandbox configures the sandbox.
func inSandbox(fields map[string]any) moduletest.Option {
	all := map[string]any{
		"webhook_secret":        secret,
		"former_webhook_secret": former,
		"webhook_every":         "24h",
		"lost_after":            "0s",
		"slow_for":              "0s",
	}
	maps.Copy(all, fields)
	return moduletest.Config(map[string]any{"sandbox": all})
}

func (h *harness) authorize(r domain.Request) (*paymentv1.Payment, error) {
	return authorize(h.t, h.order, r)
}

func authorize(t testing.TB, c paymentv1.PaymentServiceClient, r domain.Request) (*paymentv1.Payment, error) {
	res, err := c.Authorize(t.Context(), &paymentv1.AuthorizeRequest{
		OrderId:    r.OrderID,
		CustomerId: r.CustomerID,
		Amount:     r.Amount.ToProto(),
		Method:     string(r.Method),
		Token:      r.Token,
	})
	return res.GetPayment(), err
}

func (h *harness) capture(orderID string) (*paymentv1.Payment, error) {
	res, err := h.order.Capture(h.t.Context(), &paymentv1.CaptureRequest{OrderId: orderID})
	return res.GetPayment(), err
}

func (h *harness) void(orderID string) (*paymentv1.Payment, error) {
	res, err := h.order.Void(h.t.Context(), &paymentv1.VoidRequest{OrderId: orderID})
	return res.GetPayment(), err
}

// refund pays back amount, or all that is left if it is nil.
func (h *harness) refund(orderID, key string, amount *money.Money) (*paymentv1.Payment, error) {
	r := &paymentv1.RefundRequest{OrderId: orderID, IdempotencyKey: key}
	if amount != nil {
		r.Amount = amount.ToProto()
	}
	res, err := h.order.Refund(h.t.Context(), r)
	return res.GetPayment(), err
}

// payment returns the payment of an order, as its customer usr_1 sees it.
func (h *harness) payment(t testing.TB, orderID string) *paymentv1.Payment {
	t.Helper()
	paymentID := moduletest.Value[string](h.Service, `select id from payment where order_id = $1`, orderID)
	res, err := h.gateway.GetPayment(h.AsUser("usr_1"), &paymentv1.GetPaymentRequest{Id: paymentID})
	require.NoError(t, err)
	return res.GetPayment()
}

// webhook passes a webhook on, as the gateway does.
func (h *harness) webhook(body []byte, signature string) (duplicate bool, err error) {
	res, err := h.gateway.ReceiveWebhook(h.t.Context(), &paymentv1.ReceiveWebhookRequest{
		Provider: sandbox.Name, Body: body, Signature: signature,
	})
	return res.GetDuplicate(), err
}

// signed passes a webhook on that the sandbox has signed now.
func (h *harness) signed(body []byte) (duplicate bool, err error) {
	return h.webhook(body, sandbox.Sign(secret, h.clock.Now(), body))
}

func request(token string) domain.Request {
	return domain.Request{
		OrderID:    id.New(id.Order),
		CustomerID: "usr_1",
		Amount:     money.New(5398, "BRL"),
		Method:     domain.Card,
		Token:      token,
	}
}

// books is what the sandbox's tables say about a payment.
type books struct {
	Status                      string
	Captured, Refunded, Entries int64
}

func (h *harness) books(t testing.TB, paymentID string) books {
	t.Helper()
	var b books
	err := h.Pool.QueryRow(t.Context(), `select status, captured, refunded,
		(select count(*) from sandbox.ledger_entry e where e.key = c.key) from sandbox.charge c where key = $1`, paymentID).
		Scan(&b.Status, &b.Captured, &b.Refunded, &b.Entries)
	require.NoError(t, err)
	return b
}

// rows counts a table's rows.
func (h *harness) rows(t testing.TB, table string) int {
	t.Helper()
	return moduletest.Value[int](h.Service, `select count(*) from `+table)
}

// clean fails the test unless Verify finds every invariant intact.
func (h *harness) clean(t testing.TB) {
	t.Helper()
	findings, err := payment.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	for _, f := range findings {
		require.Zero(t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
}
