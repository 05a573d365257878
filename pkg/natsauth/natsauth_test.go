package natsauth_test

import (
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/clock"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/identity"
	"souk/pkg/natsauth"
	"souk/pkg/natsrpc"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/rpc"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.IgnoreServerLeaks()...) }

var seed = []byte("a seed for tests, thirty-two bytes")

// harness is a server with an auth callout, and a connection that may do everything.
type harness struct {
	t      *testing.T
	server *natsserver.Server
	admin  jetstream.JetStream
}

func setup(t *testing.T) *harness {
	t.Helper()
	keys, err := natsauth.DeriveKeys(seed)
	require.NoError(t, err)
	issuer, box, err := keys.Public()
	require.NoError(t, err)
	h := &harness{t: t, server: natstest.Start(t, natsserver.Options{
		StoreDir: t.TempDir(), NoSync: true, User: natsauth.User, Password: keys.Password,
		Callout: &natsserver.Callout{Issuer: issuer, Box: box},
	})}
	nc := natstest.Connect(t, h.server)
	trusted := map[string]ed25519.PublicKey{}
	for _, name := range append(services.Names(), natsauth.Operator) {
		trusted[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
	}
	require.NoError(t, natsauth.Respond(nc, keys, identity.NewVerifier(trusted, clock.System{}),
		natsauth.Certificates{}, zap.NewNop()))
	h.admin, err = jetstream.New(nc)
	require.NoError(t, err)
	var durables []outbox.Durable
	for _, s := range services.All() {
		for _, c := range s.Consumers {
			durables = append(durables, outbox.NewDurable(s.Name, c.Purpose, c.Subjects))
		}
	}
	require.NoError(
		t,
		outbox.NewProvisioner(h.admin, outbox.Streams{}, durables, zap.NewNop(), nil).Provision(t.Context()),
	)
	return h
}

// client is a connection and what the server has refused it.
type client struct {
	*nats.Conn
	t       *testing.T
	refused chan string
}

// as connects as services.
func (h *harness) as(names ...string) *client {
	h.t.Helper()
	keys := map[string]ed25519.PrivateKey{}
	for _, name := range names {
		keys[name] = identity.DeriveKey(seed, name)
	}
	c := &client{t: h.t, refused: make(chan string, 100)}
	closed := make(chan struct{})
	nc, err := nats.Connect(h.server.Address(),
		nats.TokenHandler(func() string {
			token, err := identity.ConnectToken(keys, clock.System{})
			if err != nil {
				h.t.Error(err)
			}
			return token
		}),
		nats.CustomInboxPrefix(natsauth.InboxPrefix(names[0])),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused <- err.Error() }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(h.t, err)
	h.t.Cleanup(func() {
		nc.Close()
		waittest.Receive(h.t, closed)
	})
	c.Conn = nc
	return c
}

// denied asserts that the server refuses what f does.
func (c *client) denied(what string, f func() error) {
	c.t.Helper()
	require.NoError(c.t, f(), what)
	require.NoError(c.t, c.FlushTimeout(10*time.Second))
	select {
	case got := <-c.refused:
		require.Contains(c.t, strings.ToLower(got), "permissions violation", what)
	case <-time.After(10 * time.Second):
		require.Fail(c.t, "the server allows it", what)
	}
}

// allowed asserts that nothing was refused so far.
func (c *client) allowed() {
	c.t.Helper()
	require.NoError(c.t, c.FlushTimeout(10*time.Second))
	select {
	case got := <-c.refused:
		require.Fail(c.t, "refused", got)
	default:
	}
}

func TestServiceDoesWhatItsContractSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	h := setup(t)
	product := h.as("product")
	order := h.as("order")
	_, err := product.QueueSubscribe("rpc.product.v1.ProductService.*", "product", func(m *nats.Msg) {
		_ = m.Respond([]byte("answer"))
	})
	require.NoError(t, err)
	require.NoError(t, product.FlushTimeout(10*time.Second))
	answer, err := order.Request("rpc.product.v1.ProductService.ReserveInventory", nil, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, "answer", string(answer.Data))
	js, err := jetstream.New(product.Conn)
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "evt.product.created", nil)
	require.NoError(t, err)
	product.allowed()

	subscribe := func(c *client, subject, queue string) func() error {
		return func() error {
			_, err := c.QueueSubscribe(subject, queue, func(*nats.Msg) {})
			return err
		}
	}
	publish := func(c *client, subject string) func() error {
		return func() error { return c.Publish(subject, []byte("{}")) }
	}
	for _, subject := range []string{
		">", "rpc.>", "evt.>", natsrpc.Heartbeat(">"), "$JS.>", "_INBOX.>", natsauth.InboxPrefix("order") + ".>", "rpc.order.v1.OrderService.*",
	} {
		product.denied("subscribe to "+subject, subscribe(product, subject, ""))
	}
	product.denied("answer calls of another queue", subscribe(product, "rpc.product.v1.ProductService.*", "order"))
	order.denied("answer calls of another service",
		subscribe(order, "rpc.product.v1.ProductService.*", "product"))
	for _, subject := range []string{
		"rpc.payment.v1.PaymentService.Refund",  // its contract names order
		"rpc.order.v1.OrderService.CancelOrder", // for the gateway
		"evt.shop.suspended",                    // the shop service's
		"dlq.order_payments.evt.payment.failed", // another service's dead letter
		"$JS.API.STREAM.CREATE.TAP",             // a stream over rpc.>
		"$JS.API.STREAM.DELETE.EVENTS",
		"$JS.API.CONSUMER.CREATE.EVENTS.tap",
		"$JS.API.CONSUMER.MSG.NEXT.EVENTS.order_payments", // another service's consumer
		"$JS.ACK.EVENTS.order_payments.1.1.1.1.0",
		natsauth.InboxPrefix("order") + ".x", // an answer without a request
	} {
		product.denied("publish "+subject, publish(product, subject))
	}
}

// A call that takes several heartbeats.
func TestHeartbeatsAreAllowed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	product, gateway := h.as("product"), h.as("gateway")
	const heartbeat = 300 * time.Millisecond
	o := natsrpc.Options{Heartbeat: heartbeat}
	s := rpc.NewServer(rpc.ServerOptions{Service: "product"})
	productv1.RegisterProductServiceServer(s, &slowProduct{takes: 8 * heartbeat})
	stop, err := natsrpc.New(product.Conn, o).Serve(t.Context(), s)
	require.NoError(t, err)
	conn := rpc.NewClient(natsrpc.New(gateway.Conn, o).Conn(), rpc.ClientOptions{Service: "gateway"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = productv1.NewProductServiceClient(conn).GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
	require.NoError(t, err)
	require.NoError(t, stop(ctx))
	product.allowed()
	gateway.allowed()
}

// A process with two services answers for both.
func TestOperatorFindsAllServicesOfAProcess(t *testing.T) {
	t.Parallel()
	h := setup(t)
	process, operator := h.as("order", "product"), h.as(natsauth.Operator)
	for name, register := range map[string]func(*rpc.Server){
		"product": func(s *rpc.Server) {
			productv1.RegisterProductServiceServer(s, productv1.UnimplementedProductServiceServer{})
		},
		"order": func(s *rpc.Server) {
			orderv1.RegisterOrderServiceServer(s, orderv1.UnimplementedOrderServiceServer{})
		},
	} {
		s := rpc.NewServer(rpc.ServerOptions{Service: name})
		register(s)
		stop, err := natsrpc.New(process.Conn, natsrpc.Options{}).Serve(t.Context(), s)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, stop(context.Background())) })
	}
	found, err := natsrpc.Discover(t.Context(), operator.Conn, time.Second, services.Names()...)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "order", found[0].Name)
	require.Equal(t, "product", found[1].Name)
	process.allowed()
	operator.allowed()
}

type slowProduct struct {
	productv1.UnimplementedProductServiceServer

	takes time.Duration
}

func (p *slowProduct) GetProduct(
	ctx context.Context, _ *productv1.GetProductRequest,
) (*productv1.GetProductResponse, error) {
	select {
	case <-time.After(p.takes):
		return &productv1.GetProductResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestServiceConsumesItsOwnEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	payment, order := h.as("payment"), h.as("order")
	js, err := jetstream.New(payment.Conn)
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "evt.payment.completed", []byte("paid"))
	require.NoError(t, err)
	js, err = jetstream.New(order.Conn)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), outbox.StreamEvents, "order_payments")
	require.NoError(t, err)
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(t, err)
	require.NoError(t, m.DoubleAck(t.Context()))
	_, err = js.Publish(t.Context(), outbox.DeadSubject("order_payments", "evt.payment.completed"), nil)
	require.NoError(t, err)
	order.allowed()
	payment.allowed()
}

func TestProcessOfAllServicesConnects(t *testing.T) {
	t.Parallel()
	h := setup(t)
	all := h.as(services.Names()...)
	for _, s := range services.All() {
		for _, subject := range s.Publishes {
			require.NoError(t, all.Publish(subject, nil))
		}
	}
	all.allowed()
	all.denied("a stream", func() error { return all.Publish("$JS.API.STREAM.CREATE.TAP", nil) })
}

func TestOperatorWatchesAndReplays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	operator := h.as(natsauth.Operator)
	js, err := jetstream.New(operator.Conn)
	require.NoError(t, err)
	_, err = h.admin.Publish(t.Context(), "evt.order.created", []byte("1"))
	require.NoError(t, err)
	_, err = h.admin.Publish(t.Context(), outbox.DeadSubject("order_payments", "evt.payment.failed"), []byte("2"))
	require.NoError(t, err)
	ordered, err := js.OrderedConsumer(t.Context(), outbox.StreamEvents, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	m, err := ordered.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(t, err)
	require.Equal(t, "1", string(m.Data()))
	letters, err := outbox.ListDead(t.Context(), js, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	_, err = js.Publish(t.Context(), "evt.payment.failed", nil)
	require.NoError(t, err)
	operator.allowed()
	operator.denied("delete a stream", func() error { return operator.Publish("$JS.API.STREAM.DELETE.EVENTS", nil) })
	operator.denied("call a service", func() error {
		return operator.Publish("rpc.payment.v1.PaymentService.Refund", nil)
	})
}

func TestConnectionsWithoutAValidTokenAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	foreign, err := identity.ConnectToken(map[string]ed25519.PrivateKey{
		"order": identity.DeriveKey([]byte("the seed of another installation"), "order"),
	}, clock.System{})
	require.NoError(t, err)
	for name, option := range map[string]nats.Option{
		"nothing":                  nats.Name("nothing"),
		"a password":               nats.UserInfo(natsauth.User, "guess"),
		"another user":             nats.UserInfo("souk", "souk"),
		"a foreign token":          nats.Token(foreign),
		"something that isn't one": nats.Token("token"),
	} {
		_, err := nats.Connect(h.server.Address(), option)
		require.ErrorIs(t, err, nats.ErrAuthorization, name)
	}
}
