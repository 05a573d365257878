package natsrpc_test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/errs"
	"souk/pkg/natsrpc"
	"souk/pkg/natstest"
	"souk/pkg/rpc"
	"souk/pkg/rpc/rpctest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func transports(t testing.TB) (server, client rpc.Transport) {
	t.Helper()
	s := natstest.Server(t)
	return natsrpc.New(
			natstest.Connect(t, s),
			natsrpc.Options{},
		), natsrpc.New(
			natstest.Connect(t, s),
			natsrpc.Options{},
		)
}

// on returns a transport that serves and calls on one connection, and the connection.
func on(t testing.TB, s *natsserver.Server) (nc *nats.Conn, both rpctest.Transports) {
	t.Helper()
	nc = natstest.Connect(t, s)
	tr := natsrpc.New(nc, natsrpc.Options{Version: "1.2.3"})
	return nc, func(testing.TB) (server, client rpc.Transport) { return tr, tr }
}

func TestNATS(t *testing.T) {
	t.Parallel()
	rpctest.Run(t, transports)
}

// tcpTransports returns transports on two TCP connections with batched writes, as processes have them.
func tcpTransports(t testing.TB) (server, client rpc.Transport) {
	t.Helper()
	s := natstest.Server(t)
	connect := func() *nats.Conn {
		closed := make(chan struct{})
		nc, err := nats.Connect(s.URL(), natsrpc.BatchWrites(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
		require.NoError(t, err)
		t.Cleanup(func() {
			nc.Close()
			waittest.Receive(t, closed)
		})
		return nc
	}
	return natsrpc.New(connect(), natsrpc.Options{}), natsrpc.New(connect(), natsrpc.Options{})
}

func TestNATSWithBatchedWrites(t *testing.T) {
	t.Parallel()
	rpctest.Run(t, tcpTransports)
}

func TestSubject(t *testing.T) {
	t.Parallel()
	require.Equal(t, "rpc.product.v1.ProductService.GetProduct",
		natsrpc.Subject("/souk.product.v1.ProductService/GetProduct"))
}

func TestTooLargeMessagesFail(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	_, both := on(t,
		natstest.Start(t, natsserver.Options{StoreDir: t.TempDir(), NoSync: true, Port: -1, MaxPayload: most}))
	k := rpctest.Setup(t, both, nil)
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		return &productv1.GetProductResponse{
			Product: &productv1.Product{Description: strings.Repeat("x", len(r.GetId())*most/16)},
		}, nil
	}
	client := k.Client("order")
	got, err := client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "12345678"})
	require.NoError(t, err)
	require.Len(t, got.GetProduct().GetDescription(), most/2)

	_, err = client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: strings.Repeat("x", 2*most)})
	require.Equal(t, errs.TooLarge, errs.CodeOf(err))
	require.ErrorContains(t, err, "NATS carries at most 65536")

	_, err = client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "12345678901234567890"})
	require.Equal(t, errs.Internal, errs.CodeOf(err))
	require.ErrorContains(t, err, "the answer is too large")
}

func TestMalformedRequestIsInvalid(t *testing.T) {
	t.Parallel()
	nc, both := on(t, natstest.Server(t))
	rpctest.Setup(t, both, nil)
	answer, err := nc.Request("rpc.product.v1.ProductService.GetProduct", []byte("\xff\xff\xff not protobuf"),
		rpctest.Timeout)
	require.NoError(t, err)
	require.Equal(t, "1", answer.Header.Get("E"))
	require.Contains(t, string(answer.Data), "invalid_argument")
}

func TestServicesAnswerTheNATSServiceAPI(t *testing.T) {
	t.Parallel()
	nc, both := on(t, natstest.Server(t))
	k := rpctest.Setup(t, both, nil)
	entered := make(chan time.Time, 1)
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "bad" {
			return nil, errs.New(errs.NotFound, "no")
		}
		entered <- time.Now()
		return &productv1.GetProductResponse{}, nil
	}
	client := k.Client("order")
	_, err := client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
	require.NoError(t, err)
	waittest.Receive(t, entered)
	_, err = client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "bad"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))

	var ping micro.Ping
	ask(t, nc, "$SRV.PING", &ping)
	require.Equal(t, micro.PingResponseType, ping.Type)
	require.Equal(t, "product", ping.Name)
	require.Equal(t, "1.2.3", ping.Version)
	require.Equal(t, strconv.Itoa(os.Getpid()), ping.Metadata[natsrpc.MetadataPID])

	var info micro.Info
	ask(t, nc, "$SRV.INFO.product."+ping.ID, &info)
	require.Equal(t, micro.InfoResponseType, info.Type)
	byName := map[string]micro.EndpointInfo{}
	for _, e := range info.Endpoints {
		byName[e.Name] = e
	}
	require.Equal(t, "rpc.product.v1.ProductService.GetProduct", byName["GetProduct"].Subject)
	require.Equal(t, "public", byName["GetProduct"].Metadata["access"])

	waittest.Until(t, func() bool { // a call is counted after it is answered
		var stats micro.Stats
		ask(t, nc, "$SRV.STATS.product", &stats)
		for _, e := range stats.Endpoints {
			if e.Name == "GetProduct" {
				return e.NumRequests == 2 && e.NumErrors == 1 && e.LastError == "not_found" && e.ProcessingTime > 0
			}
		}
		return false
	}, "the calls are not counted")

	found, err := natsrpc.Discover(t.Context(), nc, 100*time.Millisecond, "product", "order")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, ping.ID, found[0].ID)
}

func TestDiscoverWithoutServices(t *testing.T) {
	t.Parallel()
	found, err := natsrpc.Discover(t.Context(), natstest.Conn(t), 50*time.Millisecond, "product")
	require.NoError(t, err)
	require.Empty(t, found)
}

func ask(t *testing.T, nc *nats.Conn, subject string, into any) {
	t.Helper()
	m, err := nc.Request(subject, nil, rpctest.Timeout)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(m.Data, into))
}

// TestTwoProcessesShareCalls has two servers share calls. After one has stopped, the other handles all of them.
func TestTwoProcessesShareCalls(t *testing.T) {
	t.Parallel()
	s := natstest.Server(t)
	_, first := on(t, s)
	_, second := on(t, s)
	one, two := rpctest.Setup(t, first, nil), rpctest.Setup(t, second, nil)
	served := make(chan string, 64)
	for name, k := range map[string]*rpctest.Harness{"one": one, "two": two} {
		k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
			served <- name
			return &productv1.GetProductResponse{}, nil
		}
	}
	client := one.Client("order")
	seen := map[string]bool{}
	waittest.Until(t, func() bool {
		_, err := client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
		require.NoError(t, err)
		seen[waittest.Receive(t, served)] = true
		return seen["one"] && seen["two"]
	}, "one process answers every call")
	require.NoError(t, two.Stop(t.Context()))
	for range 20 {
		_, err := client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
		require.NoError(t, err)
		require.Equal(t, "one", waittest.Receive(t, served))
	}
}

// TestCallsFailWhileNATSIsDown stops NATS. Calls fail at once, and succeed again after a restart.
func TestCallsFailWhileNATSIsDown(t *testing.T) {
	t.Parallel()
	o := natsserver.Options{StoreDir: t.TempDir(), NoSync: true, Password: "p"}
	s, err := natsserver.Start(t.Context(), o)
	require.NoError(t, err)
	closed := make(chan struct{})
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		waittest.Receive(t, closed)
	})
	tr := natsrpc.New(nc, natsrpc.Options{})
	k := rpctest.Setup(t, func(testing.TB) (server, client rpc.Transport) { return tr, tr }, nil)
	client := k.Client("order")
	_, err = client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
	require.NoError(t, err)

	at, err := url.Parse(s.URL())
	require.NoError(t, err)
	port, err := strconv.Atoi(at.Port())
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	waittest.Until(t, func() bool { return !nc.IsConnected() }, "the connection is still up")
	_, err = client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
	e := errs.From(err)
	require.Equal(t, errs.Unavailable, e.Code)
	require.Positive(t, e.RetryAfter)

	o.Port = port
	natstest.Start(t, o)
	waittest.Until(t, func() bool {
		_, err := client.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "1"})
		return err == nil
	}, "the client does not reconnect")
}

func BenchmarkNATS(b *testing.B) {
	b.Run("pipe", func(b *testing.B) {
		s := natstest.Server(b)
		_, both := on(b, s)
		rpctest.Bench(b, both)
	})
	b.Run("tcp", func(b *testing.B) {
		rpctest.Bench(b, tcpTransports)
	})
}
