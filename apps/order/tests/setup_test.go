package tests

import (
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"souk/apps/order"
	"souk/apps/order/internal/handler"
	"souk/apps/order/internal/repository"
	"souk/apps/order/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/migration"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/rpc"
	"souk/pkg/saga"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds each wait of a test.
const timeout = 20 * time.Second

type harness struct {
	*fakes
	t      testing.TB
	pool   *pgxpool.Pool
	store  *repository.Store
	client orderv1.OrderServiceClient
	auth   orderv1.OrderServiceClient // calls as the auth service
	signer *identity.Signer
	runner *saga.Runner
}

type option func(*service.Sagas, *service.Deps)

func setup(t testing.TB, opts ...option) *harness {
	t.Helper()
	pool := pgtest.New(
		t,
		outbox.Migrations(),
		saga.Migrations(),
		migration.Set{Name: "order", FS: order.Module.Migrations},
	)
	h := &harness{fakes: newFakes(), t: t, pool: pool}
	h.start(pool, opts...)
	return h
}

// start runs the order service on the pool, with the harness's fakes.
func (h *harness) start(pool *pgxpool.Pool, opts ...option) (stop func()) {
	t := h.t
	h.store = repository.Open(pool, func() {})
	sagas := &service.Sagas{
		Store:            h.store,
		Products:         h.fakes,
		Payments:         h.fakes,
		Carts:            h.fakes,
		Clock:            clock.System{},
		Logger:           zap.NewNop(),
		Deadline:         5 * time.Second,
		ReserveFor:       15 * time.Minute,
		AuthorizeTimeout: 2 * time.Second,
	}
	deps := service.Deps{
		Products: h.fakes,
		Carts:    h.fakes,
		Payments: h.fakes,
		Shops:    h.fakes,
		Clock:    clock.System{},
		Logger:   zap.NewNop(),
	}
	for _, o := range opts {
		o(sagas, &deps)
	}
	runner, err := saga.NewRunner(pool, saga.Options{
		Definitions: sagas.Definitions(),
		Lease:       500 * time.Millisecond,
		MinBackoff:  5 * time.Millisecond,
		MaxBackoff:  100 * time.Millisecond,
		MaxAttempts: 10_000,
	})
	require.NoError(t, err)
	h.runner = runner
	deps.Store, deps.Runner = repository.WithSagas(h.store, runner), runner

	seed := []byte("a seed of thirty-two bytes, or so")
	system := clock.System{}
	gateway, auth := identity.DeriveKey(seed, "gateway"), identity.DeriveKey(seed, "auth")
	verifier := identity.NewVerifier(
		map[string]ed25519.PublicKey{
			"gateway": gateway.Public().(ed25519.PublicKey),
			"auth":    auth.Public().(ed25519.PublicKey),
		},
		system,
	)
	h.signer = identity.NewSigner("gateway", gateway, time.Minute, system)
	server := rpc.NewServer(rpc.ServerOptions{Service: "order", Verifier: verifier, Logger: zap.NewNop(), Limit: 1000})
	orderv1.RegisterOrderServiceServer(server, &handler.RPC{Service: service.New(deps)})
	require.NoError(t, server.Err())
	conn := rpc.NewLocal()
	stopServer, err := conn.Serve(context.Background(), server)
	require.NoError(t, err)
	h.client = orderv1.NewOrderServiceClient(rpc.NewClient(conn, rpc.ClientOptions{Service: "test"}))
	h.auth = orderv1.NewOrderServiceClient(
		rpc.NewClient(
			conn,
			rpc.ClientOptions{Service: "auth", Signer: identity.NewSigner("auth", auth, time.Minute, system)},
		),
	)

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = runner.Run(ctx)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = stopServer(context.Background())
			cancel()
			receive(t, done)
		})
	}
	t.Cleanup(stop)
	return stop
}

func (h *harness) as(a identity.Actor) context.Context {
	tok, _, err := h.signer.Sign(a)
	require.NoError(h.t, err)
	ctx, cancel := context.WithTimeout(h.t.Context(), timeout)
	h.t.Cleanup(cancel)
	return identity.WithToken(ctx, tok)
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, ID: "usr_" + name}
}

// newCustomer returns a customer with items of two shops in the cart: BRL 3 * 10.00 + 19.99.
func (h *harness) newCustomer() identity.Actor {
	c := user(id.New(id.User))
	h.offer("var_a", "shp_1", "10.00", 1_000_000)
	h.offer("var_b", "shp_2", "19.99", 1_000_000)
	h.fill(c.ID, line("var_a", 3), line("var_b", 1))
	return c
}

func checkoutRequest(token string) *orderv1.CheckoutRequest {
	return &orderv1.CheckoutRequest{
		ShippingAddress: &orderv1.ShippingAddress{
			Name:        "Ana <script>",
			Line1:       "Rua 1'; drop table orders; --",
			City:        "São Paulo",
			PostalCode:  "01310-100",
			CountryCode: "BR",
		},
		Payment: &orderv1.PaymentInput{Method: "card", Token: token},
	}
}

func (h *harness) checkout(c identity.Actor, key string, r *orderv1.CheckoutRequest) (*orderv1.Order, error) {
	res, err := h.client.Checkout(rpc.WithIdempotencyKey(h.as(c), key), r)
	return res.GetOrder(), err
}

// confirmedOrder places an order and waits until its saga has ended.
func (h *harness) confirmedOrder(c identity.Actor) *orderv1.Order {
	o, err := h.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
	require.NoError(h.t, err)
	h.waitForSagas()
	return o
}

// waitForSagas waits until no saga runs any more.
func (h *harness) waitForSagas() {
	h.t.Helper()
	h.eventually(func() bool {
		var n int
		require.NoError(
			h.t,
			h.pool.QueryRow(context.Background(), `select count(*) from saga where state in ('running', 'compensating')`).
				Scan(&n),
		)
		return n == 0
	})
}

func (h *harness) eventually(f func() bool) {
	h.t.Helper()
	require.Eventually(h.t, f, timeout, 5*time.Millisecond)
}

// paymentEvent returns the event that payment publishes for the order and the payment status.
func (h *harness) paymentEvent(orderID, status string, version int64) event.Event {
	h.t.Helper()
	subject, m := "evt.payment.completed", proto.Message(
		&paymentv1.PaymentCompleted{PaymentId: "pay_" + orderID, OrderId: orderID},
	)
	switch status {
	case "refunded":
		subject, m = "evt.payment.refunded", &paymentv1.PaymentRefunded{
			PaymentId:     "pay_" + orderID,
			OrderId:       orderID,
			Status:        status,
			TotalRefunded: money.New(1, "BRL").Proto(),
		}
	case "failed":
		subject, m = "evt.payment.failed", &paymentv1.PaymentFailed{PaymentId: "pay_" + orderID, OrderId: orderID}
	}
	e, err := event.New(h.t.Context(), subject, "pay_"+orderID, version, time.Now(), m)
	require.NoError(h.t, err)
	return e
}

// handle applies payment events in one transaction.
func (h *harness) handle(events ...event.Event) {
	h.t.Helper()
	var b pgx.Batch
	for _, e := range events {
		require.NoError(h.t, h.store.PaymentEvents(handler.PaymentUpdate)(h.t.Context(), &b, e))
	}
	require.NoError(h.t, postgres.SendBatch(h.t.Context(), h.pool, &b))
}

// handlePayment applies the event of one payment status.
func (h *harness) handlePayment(orderID, status string, version int64) {
	h.t.Helper()
	h.handle(h.paymentEvent(orderID, status, version))
}

func (h *harness) events(orderID string) []string {
	h.t.Helper()
	var subjects []string
	require.NoError(h.t, h.pool.QueryRow(
		h.t.Context(),
		`select coalesce(array_agg(subject order by seq), '{}') from outbox where aggregate_id = $1`,
		orderID,
	).Scan(&subjects))
	return subjects
}

// requireConsistent waits for the sagas. It fails the test unless all invariants hold, no stock stays reserved and
// no card payment stays authorized.
func (h *harness) requireConsistent() {
	h.t.Helper()
	h.waitForSagas()
	findings, err := order.Verify(h.t.Context(), h.pool)
	require.NoError(h.t, err)
	for _, f := range findings {
		require.Zero(h.t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for v, n := range h.reserved {
		require.Zero(h.t, n, "%s stays reserved", v)
	}
	for o, p := range h.money {
		if p.GetMethod() != "cod" {
			require.NotEqual(h.t, "authorized", p.GetStatus(), "order %s: money stays held", o)
		}
	}
}

// receive returns the next value of ch. It fails the test after the timeout.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(timeout):
		t.Fatal("timeout while waiting for a channel")
		panic("unreachable")
	}
}

// await waits for ch, like receive, on a goroutine other than the test's.
func await(t testing.TB, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(timeout):
		t.Error("timeout while waiting for a channel")
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
