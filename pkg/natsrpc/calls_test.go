package natsrpc_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/natsrpc"
	"souk/pkg/natstest"
	"souk/pkg/retry"
	"souk/pkg/rpc"
	"souk/pkg/rpc/rpctest"
	"souk/pkg/waittest"
)

const getProduct = "/souk.product.v1.ProductService/GetProduct"

// dialer dials connections that the test can cut.
type dialer struct {
	net.Dialer

	mu    sync.Mutex
	conns []net.Conn
}

// Dial connects.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conns = append(d.conns, conn)
	}
	return conn, err
}

func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.conns {
		_ = conn.Close() // it may be closed already
	}
	d.conns = nil
}

// harness is a calling connection that can be cut, and a product service on another connection.
type harness struct {
	*rpctest.Harness
	*dialer

	nc   *nats.Conn
	lost chan error    // receives the errors of the connection's DisconnectErrHandler
	back chan struct{} // receives a value per reconnection
}

func setup(t *testing.T) *harness {
	t.Helper()
	s := natstest.Server(t)
	c := &harness{dialer: &dialer{}, lost: make(chan error, 100), back: make(chan struct{}, 100)}
	var err error
	closed := make(chan struct{})
	c.nc, err = nats.Connect(s.URL(), nats.SetCustomDialer(c.dialer), natsrpc.BatchWrites(), nats.MaxReconnects(-1),
		nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.lost <- err }),
		nats.ReconnectHandler(func(*nats.Conn) { c.back <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		c.nc.Close()
		waittest.Receive(t, closed)
	})
	served := natsrpc.New(natstest.Connect(t, s), natsrpc.Options{})
	c.Harness = rpctest.Setup(t,
		func(testing.TB) (server, client rpc.Transport) { return served, natsrpc.New(c.nc, natsrpc.Options{}) }, nil)
	return c
}

// TestCallsInFlightFailWhenTheConnectionBreaks breaks the connection of two clients while their calls are handled.
// Both calls fail at once, long before their deadlines, and their outcome is unknown.
func TestCallsInFlightFailWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	c := setup(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	c.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		entered <- struct{}{}
		waittest.Receive(t, release)
		return &productv1.GetProductResponse{}, nil
	}
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Timeout)
	defer cancel()
	other := rpc.NewClient(natsrpc.New(c.nc, natsrpc.Options{}).Conn(), rpc.ClientOptions{Service: "cart"})
	ended := make(chan error, 2)
	for _, conn := range []grpc.ClientConnInterface{c.Conn("order"), other} {
		go func() {
			ended <- conn.Invoke(ctx, getProduct, &productv1.GetProductRequest{Id: "1"},
				&productv1.GetProductResponse{})
		}()
		waittest.Receive(t, entered)
	}
	c.cut()
	for range 2 {
		e := errs.From(waittest.Receive(t, ended))
		require.Equal(t, errs.Unavailable, e.Code)
		require.Equal(t, time.Second, e.RetryAfter)
		require.Contains(t, e.Message, "the connection broke")
		require.True(t, errs.OutcomeUnknown(e))
	}
	waittest.Receive(t, c.lost) // the process's own handler is called too
}

// TestIdempotentCallsAreRetriedAfterAReconnection loses the first answer. The second attempt gets one.
func TestIdempotentCallsAreRetriedAfterAReconnection(t *testing.T) {
	t.Parallel()
	c := setup(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(release) })
	first := true
	var mu sync.Mutex
	c.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		mu.Lock()
		blocks := first
		first = false
		mu.Unlock()
		if blocks {
			entered <- struct{}{}
			waittest.Receive(t, release)
		}
		return &productv1.GetProductResponse{}, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Timeout)
	defer cancel()
	client := c.Client("order", func(o *rpc.ClientOptions) {
		o.Retry = retry.Policy{Attempts: 100, Base: 20 * time.Millisecond, Max: 20 * time.Millisecond}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
		ended <- err
	}()
	waittest.Receive(t, entered)
	c.cut()
	require.NoError(t, waittest.Receive(t, ended))
}

// TestEveryCallEndsThoughTheConnectionBreaks breaks the connection repeatedly under load. Every call ends long before
// its deadline.
func TestEveryCallEndsThoughTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	c := setup(t)
	client := c.Client("order")
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Timeout)
	defer cancel()
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"}); err != nil &&
					!errs.Is(err, errs.Unavailable) {
					t.Errorf("neither an answer nor unavailable: %v", err)
					return
				}
			}
		})
	}
	for range 20 {
		waittest.Until(t, func() bool {
			_, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
			return err == nil
		}, "the client does not reconnect")
		c.cut()
		waittest.Receive(t, c.lost)
		waittest.Receive(t, c.back)
	}
	close(done)
	ended := make(chan struct{})
	go func() {
		callers.Wait()
		close(ended)
	}()
	waittest.Receive(t, ended)
}

// TestCallsWithoutHeartbeatsFail loses an answer, as a killed process or NATS server does: the handler's connection is closed. The
// caller's own connection is fine. Its call fails long before its deadline, and its outcome is unknown.
func TestCallsWithoutHeartbeatsFail(t *testing.T) {
	t.Parallel()
	c, serving := setupHeartbeat(t)
	entered, release := make(chan struct{}), make(chan struct{})
	c.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		close(entered)
		waittest.Receive(t, release)
		return &productv1.GetProductResponse{}, nil
	}
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Timeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Client("order").GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
		ended <- err
	}()
	waittest.Receive(t, entered)
	serving.Close()
	e := errs.From(waittest.Receive(t, ended))
	require.Equal(t, errs.Unavailable, e.Code)
	require.Equal(t, time.Second, e.RetryAfter)
	require.Contains(t, e.Message, "product does not answer")
	require.True(t, errs.OutcomeUnknown(e))
}

// TestLongCallsSendHeartbeats calls a handler that needs many times as long as a caller waits for a heartbeat.
func TestLongCallsSendHeartbeats(t *testing.T) {
	t.Parallel()
	c, _ := setupHeartbeat(t)
	c.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		select {
		case <-time.After(15 * heartbeat):
			return &productv1.GetProductResponse{Product: &productv1.Product{Id: "1"}}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Timeout)
	defer cancel()
	got, err := c.Client("order").GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
	require.NoError(t, err)
	require.Equal(t, "1", got.GetProduct().GetId())
}

// heartbeat is long enough for a busy machine, where one may be late.
const heartbeat = 300 * time.Millisecond

// setupHeartbeat returns a harness whose handlers send heartbeats, and the connection that serves.
func setupHeartbeat(t *testing.T) (*rpctest.Harness, *nats.Conn) {
	t.Helper()
	s := natstest.Server(t)
	serving, o := natstest.Connect(t, s), natsrpc.Options{Heartbeat: heartbeat}
	server, client := natsrpc.New(serving, o), natsrpc.New(natstest.Connect(t, s), o)
	return rpctest.Setup(t, func(testing.TB) (rpc.Transport, rpc.Transport) { return server, client }, nil), serving
}

func TestCallsOnAClosedConnectionFailAtOnce(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"used before": true, "never used": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := natstest.Conn(t)
			conn := natsrpc.New(nc, natsrpc.Options{}).Conn()
			if first {
				require.Equal(
					t,
					errs.Unavailable,
					errs.CodeOf(
						conn.Invoke(t.Context(), getProduct, &productv1.GetProductRequest{},
							&productv1.GetProductResponse{}),
					),
				)
			}
			nc.Close()
			require.Equal(
				t,
				errs.Unavailable,
				errs.CodeOf(
					conn.Invoke(t.Context(), getProduct, &productv1.GetProductRequest{},
						&productv1.GetProductResponse{}),
				),
			)
		})
	}
}
