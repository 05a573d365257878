package tests

import (
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/apps/payment"
	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/handler"
	"souk/apps/payment/internal/repository"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/migration"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a-secret-of-the-sandbox"

// timers decides when the sandbox's waits end: at once, unless hold is set.
type timers struct {
	mu    sync.Mutex
	waits []time.Duration
	hold  bool
}

func (t *timers) after(d time.Duration) <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = append(t.waits, d)
	c := make(chan time.Time, 1)
	if !t.hold {
		c <- time.Time{}
	}
	return c
}

func (t *timers) holdBack(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hold = on
}

func (t *timers) waited() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]time.Duration(nil), t.waits...)
}

// harness is a payment service on a database of its own.
type harness struct {
	pool    *pgxpool.Pool
	svc     *service.Service
	sandbox *sandbox.Provider
	clock   *clock.Manual
	timers  *timers
	conn    *rpc.Local
	// as signs as a service. asUser signs as the gateway for a user.
	as     func(ctx context.Context, name string) context.Context
	asUser func(ctx context.Context, userID string) context.Context
}

type option func(*sandbox.Options, *service.Deps)

func migrations(t testing.TB) []migration.Set {
	t.Helper()
	return []migration.Set{outbox.Migrations(), {Name: "payment", FS: payment.Module.Migrations}}
}

func setup(t testing.TB, opts ...option) *harness {
	t.Helper()
	return setupOn(t, pgtest.New(t, migrations(t)...), opts...)
}

func setupOn(t testing.TB, pool *pgxpool.Pool, opts ...option) *harness {
	t.Helper()
	h := &harness{pool: pool, clock: clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), timers: &timers{}}
	so := sandbox.Options{
		DB: h.pool, Clock: h.clock, Logger: zap.NewNop(), Secret: secret,
		LostAfter: time.Second, SlowFor: 3 * time.Second, After: h.timers.after,
	}
	sd := service.Deps{
		Store: repository.Open(
			h.pool,
			func() {},
		),
		Breakers:        breaker.NewRegistry(breaker.Options{MinRequests: 1 << 30}, nil),
		Clock:           h.clock,
		Logger:          zap.NewNop(),
		ProviderName:    sandbox.Name,
		ProviderTimeout: 30 * time.Second,
	}
	for _, o := range opts {
		o(&so, &sd)
	}
	h.sandbox = sandbox.Open(so)
	if sd.Provider == nil {
		sd.Provider = h.sandbox
	}
	h.svc = service.New(sd)
	h.serve(t)
	return h
}

// serve serves the service's contract on an in-process connection.
func (h *harness) serve(t testing.TB) {
	t.Helper()
	seed := []byte("a seed of thirty-two bytes, or so")
	system := clock.System{}
	gateway, order := identity.DeriveKey(seed, "gateway"), identity.DeriveKey(seed, "order")
	verifier := identity.NewVerifier(
		map[string]ed25519.PublicKey{
			"gateway": gateway.Public().(ed25519.PublicKey),
			"order":   order.Public().(ed25519.PublicKey),
		},
		system,
	)
	server := rpc.NewServer(rpc.ServerOptions{Service: "payment", Verifier: verifier})
	paymentv1.RegisterPaymentServiceServer(server, &handler.RPC{Service: h.svc})
	require.NoError(t, server.Err())
	h.conn = rpc.NewLocal()
	stop, err := h.conn.Serve(t.Context(), server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = stop(context.Background()) })
	signers := map[string]*identity.Signer{
		"gateway": identity.NewSigner(
			"gateway",
			gateway,
			time.Minute,
			system,
		),
		"order": identity.NewSigner("order", order, time.Minute, system),
	}
	token := func(ctx context.Context, issuer string, a identity.Actor) context.Context {
		tok, _, err := signers[issuer].Sign(a)
		require.NoError(t, err)
		return identity.WithToken(ctx, tok)
	}
	h.as = func(ctx context.Context, name string) context.Context {
		return token(ctx, name, identity.Service(name))
	}
	h.asUser = func(ctx context.Context, userID string) context.Context {
		return token(ctx, "gateway", identity.Actor{Kind: identity.KindUser, ID: userID})
	}
}

func (h *harness) client() paymentv1.PaymentServiceClient {
	return paymentv1.NewPaymentServiceClient(rpc.NewClient(h.conn, rpc.ClientOptions{Service: "test"}))
}

func request(token string) domain.Request {
	return domain.Request{
		OrderID: id.New(
			id.Order,
		),
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
	err := h.pool.QueryRow(t.Context(), `select status, captured, refunded,
		(select count(*) from sandbox.ledger_entry e where e.key = c.key) from sandbox.charge c where key = $1`, paymentID).
		Scan(&b.Status, &b.Captured, &b.Refunded, &b.Entries)
	require.NoError(t, err)
	return b
}

// rows counts a table's rows.
func (h *harness) rows(t testing.TB, table string) int {
	t.Helper()
	var n int
	require.NoError(t, h.pool.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n))
	return n
}

func (h *harness) events(t testing.TB, paymentID string) []string {
	t.Helper()
	var subjects []string
	err := h.pool.QueryRow(t.Context(), `select coalesce(array_agg(subject order by seq), '{}') from outbox where aggregate_id = $1`, paymentID).
		Scan(&subjects)
	require.NoError(t, err)
	return subjects
}

// clean fails the test unless Verify finds every invariant intact.
func (h *harness) clean(t testing.TB) {
	t.Helper()
	findings, err := payment.Verify(t.Context(), h.pool)
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	for _, f := range findings {
		require.Zero(t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
}

// concurrently runs f n times at once and returns the errors.
func concurrently(n int, f func(i int) error) []error {
	out := make([]error, n)
	var ready, wg sync.WaitGroup
	ready.Add(n)
	for i := range n {
		wg.Go(func() {
			ready.Done()
			ready.Wait()
			out[i] = f(i)
		})
	}
	wg.Wait()
	return out
}

func count(errors []error, match func(error) bool) int {
	n := 0
	for _, err := range errors {
		if match(err) {
			n++
		}
	}
	return n
}
