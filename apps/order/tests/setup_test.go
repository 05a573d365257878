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

const patience = 20 * time.Second

type kit struct {
	*world
	t      testing.TB
	pool   *pgxpool.Pool
	store  *repository.Store
	client orderv1.OrderServiceClient
	auth   orderv1.OrderServiceClient // as that service
	signer *identity.Signer
	runner *saga.Runner
}

type option func(*service.Sagas, *service.Deps)

func setup(t testing.TB, opts ...option) *kit {
	t.Helper()
	pool := pgtest.New(t, outbox.Migrations(), saga.Migrations(), migration.Set{Name: "order", FS: order.Module.Migrations})
	k := &kit{world: newWorld(), t: t, pool: pool}
	k.start(pool, opts...)
	return k
}

// start runs the order service on the pool, against the kit's world.
func (k *kit) start(pool *pgxpool.Pool, opts ...option) (stop func()) {
	t := k.t
	k.store = repository.Open(pool, func() {})
	sagas := &service.Sagas{
		Store: k.store, Products: k.world, Payments: k.world, Carts: k.world, Clock: clock.System{}, Logger: zap.NewNop(),
		Deadline: 5 * time.Second, ReserveFor: 15 * time.Minute, AuthorizeTimeout: 2 * time.Second,
	}
	deps := service.Deps{Products: k.world, Carts: k.world, Payments: k.world, Shops: k.world, Clock: clock.System{}, Logger: zap.NewNop()}
	for _, o := range opts {
		o(sagas, &deps)
	}
	runner, err := saga.NewRunner(pool, saga.Options{
		Definitions: sagas.Definitions(), Lease: 500 * time.Millisecond, MinBackoff: 5 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
		MaxAttempts: 10_000,
	})
	require.NoError(t, err)
	k.runner = runner
	deps.Store, deps.Runner = repository.WithSagas(k.store, runner), runner

	seed := []byte("a seed of thirty-two bytes, or so")
	system := clock.System{}
	gateway, auth := identity.DeriveKey(seed, "gateway"), identity.DeriveKey(seed, "auth")
	verifier := identity.NewVerifier(map[string]ed25519.PublicKey{"gateway": gateway.Public().(ed25519.PublicKey), "auth": auth.Public().(ed25519.PublicKey)}, system)
	k.signer = identity.NewSigner("gateway", gateway, time.Minute, system)
	server := rpc.NewServer(rpc.ServerOptions{Service: "order", Verifier: verifier, Logger: zap.NewNop(), Limit: 1000})
	orderv1.RegisterOrderServiceServer(server, &handler.RPC{Service: service.New(deps)})
	require.NoError(t, server.Err())
	conn := rpc.NewLocal()
	stopServer, err := conn.Serve(context.Background(), server)
	require.NoError(t, err)
	k.client = orderv1.NewOrderServiceClient(rpc.NewClient(conn, rpc.ClientOptions{Service: "test"}))
	k.auth = orderv1.NewOrderServiceClient(rpc.NewClient(conn, rpc.ClientOptions{Service: "auth", Signer: identity.NewSigner("auth", auth, time.Minute, system)}))

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
			<-done
		})
	}
	t.Cleanup(stop)
	return stop
}

func (k *kit) as(a identity.Actor) context.Context {
	tok, _, err := k.signer.Sign(a)
	require.NoError(k.t, err)
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	k.t.Cleanup(cancel)
	return identity.WithToken(ctx, tok)
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, ID: "usr_" + name}
}

// shopping makes a customer with two shops' things in the cart: BRL 3 * 10.00 + 19.99.
func (k *kit) shopping() identity.Actor {
	c := user(id.New(id.User))
	k.offer("var_a", "shp_1", "10.00", 1_000_000)
	k.offer("var_b", "shp_2", "19.99", 1_000_000)
	k.fill(c.ID, line("var_a", 3), line("var_b", 1))
	return c
}

func checkoutRequest(token string) *orderv1.CheckoutRequest {
	return &orderv1.CheckoutRequest{
		ShippingAddress: &orderv1.ShippingAddress{Name: "Ana <script>", Line1: "Rua 1'; drop table orders; --", City: "São Paulo", PostalCode: "01310-100", CountryCode: "BR"},
		Payment:         &orderv1.PaymentInput{Method: "card", Token: token},
	}
}

func (k *kit) checkout(c identity.Actor, key string, r *orderv1.CheckoutRequest) (*orderv1.Order, error) {
	res, err := k.client.Checkout(rpc.WithIdempotencyKey(k.as(c), key), r)
	return res.GetOrder(), err
}

// bought is a confirmed order whose checkout has ended.
func (k *kit) bought(c identity.Actor) *orderv1.Order {
	o, err := k.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
	require.NoError(k.t, err)
	k.ended()
	return o
}

// ended waits until no saga runs any more.
func (k *kit) ended() {
	k.t.Helper()
	k.eventually(func() bool {
		var n int
		require.NoError(k.t, k.pool.QueryRow(context.Background(), `select count(*) from saga where state in ('running', 'compensating')`).Scan(&n))
		return n == 0
	})
}

func (k *kit) eventually(f func() bool) {
	k.t.Helper()
	require.Eventually(k.t, f, patience, 5*time.Millisecond)
}

// news is what payment tells of the order.
func (k *kit) news(orderID, status string, version int64) event.Event {
	k.t.Helper()
	subject, m := "evt.payment.completed", proto.Message(&paymentv1.PaymentCompleted{PaymentId: "pay_" + orderID, OrderId: orderID})
	switch status {
	case "refunded":
		subject, m = "evt.payment.refunded", &paymentv1.PaymentRefunded{PaymentId: "pay_" + orderID, OrderId: orderID, Status: status, TotalRefunded: money.New(1, "BRL").Proto()}
	case "failed":
		subject, m = "evt.payment.failed", &paymentv1.PaymentFailed{PaymentId: "pay_" + orderID, OrderId: orderID}
	}
	e, err := event.New(k.t.Context(), subject, "pay_"+orderID, version, time.Now(), m)
	require.NoError(k.t, err)
	return e
}

// hear takes in news, all in one transaction.
func (k *kit) hear(news ...event.Event) {
	k.t.Helper()
	var b pgx.Batch
	for _, e := range news {
		require.NoError(k.t, k.store.PaymentEvents(handler.PaymentNews)(k.t.Context(), &b, e))
	}
	require.NoError(k.t, postgres.SendBatch(k.t.Context(), k.pool, &b))
}

// paid tells order what payment would tell of the order.
func (k *kit) paid(orderID, status string, version int64) {
	k.t.Helper()
	k.hear(k.news(orderID, status, version))
}

func (k *kit) events(orderID string) []string {
	k.t.Helper()
	var subjects []string
	require.NoError(k.t, k.pool.QueryRow(k.t.Context(),
		`select coalesce(array_agg(subject order by seq), '{}') from outbox where aggregate_id = $1`, orderID).Scan(&subjects))
	return subjects
}

// clean fails the test unless everything that must hold does, and nothing stays reserved.
func (k *kit) clean() {
	k.t.Helper()
	k.ended()
	findings, err := order.Verify(k.t.Context(), k.pool)
	require.NoError(k.t, err)
	for _, f := range findings {
		require.Zero(k.t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for v, n := range k.reserved {
		require.Zero(k.t, n, "%s stays reserved", v)
	}
	for o, p := range k.money {
		if p.GetMethod() != "cod" {
			require.NotEqual(k.t, "authorized", p.GetStatus(), "order %s: money stays held", o)
		}
	}
}

// together runs f n times at once and returns the errors.
func together(n int, f func(i int) error) []error {
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
