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
)

const getProduct = "/souk.product.v1.ProductService/GetProduct"

// cables are a connection's to NATS, which can be cut.
type cables struct {
	net.Dialer

	mu  sync.Mutex
	all []net.Conn
}

// Dial connects.
func (c *cables) Dial(network, address string) (net.Conn, error) {
	conn, err := c.Dialer.Dial(network, address)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

func (c *cables) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

// caller is a connection that can be cut, besides the one on which a product service answers.
type caller struct {
	*rpctest.Kit
	*cables

	nc   *nats.Conn
	lost chan error // what the connection's own handler was told
	back chan struct{}
}

func calling(t *testing.T) *caller {
	t.Helper()
	s := natstest.Server(t)
	c := &caller{cables: &cables{}, lost: make(chan error, 100), back: make(chan struct{}, 100)}
	var err error
	closed := make(chan struct{})
	c.nc, err = nats.Connect(s.URL(), nats.SetCustomDialer(c.cables), natsrpc.Gather(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.lost <- err }), nats.ReconnectHandler(func(*nats.Conn) { c.back <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		c.nc.Close()
		<-closed
	})
	served := natsrpc.New(natstest.Connect(t, s), natsrpc.Options{})
	c.Kit = rpctest.Setup(t, func(testing.TB) (server, client rpc.Transport) { return served, natsrpc.New(c.nc, natsrpc.Options{}) }, nil)
	return c
}

// wait waits for what must come.
func wait[T any](t *testing.T, ch <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-ch:
	case <-time.After(rpctest.Patience):
		require.Fail(t, "waited in vain")
	}
	return got
}

// TestCallsUnderWayEndWithTheConnection breaks the connection of two clients while their calls are handled: both are
// told at once that it is open what was done, long before their deadlines.
func TestCallsUnderWayEndWithTheConnection(t *testing.T) {
	t.Parallel()
	c := calling(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	c.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		entered <- struct{}{}
		<-release
		return &productv1.GetProductResponse{}, nil
	}
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Patience)
	defer cancel()
	other := rpc.NewClient(natsrpc.New(c.nc, natsrpc.Options{}).Conn(), rpc.ClientOptions{Service: "cart"})
	ended := make(chan error, 2)
	for _, conn := range []grpc.ClientConnInterface{c.Conn("order"), other} {
		go func() {
			ended <- conn.Invoke(ctx, getProduct, &productv1.GetProductRequest{Id: "1"}, &productv1.GetProductResponse{})
		}()
		wait(t, entered)
	}
	c.cut()
	for range 2 {
		e := errs.From(wait(t, ended))
		require.Equal(t, errs.Unavailable, e.Code)
		require.Equal(t, time.Second, e.RetryAfter)
		require.Contains(t, e.Message, "the connection broke")
		require.True(t, errs.Unknown(e))
	}
	wait(t, c.lost) // the process's own handler is told, too
}

// TestIdempotentCallsAreRepeatedWhenTheConnectionIsBack loses the first answer; the second attempt gets one.
func TestIdempotentCallsAreRepeatedWhenTheConnectionIsBack(t *testing.T) {
	t.Parallel()
	c := calling(t)
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
			<-release
		}
		return &productv1.GetProductResponse{}, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Patience)
	defer cancel()
	client := c.Client("order", func(o *rpc.ClientOptions) {
		o.Retry = retry.Policy{Attempts: 100, Base: 20 * time.Millisecond, Max: 20 * time.Millisecond}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
		ended <- err
	}()
	wait(t, entered)
	c.cut()
	require.NoError(t, wait(t, ended))
}

// TestNoCallIsForgotten breaks the connection again and again under load: every call ends long before its deadline.
func TestNoCallIsForgotten(t *testing.T) {
	t.Parallel()
	c := calling(t)
	client := c.Client("order")
	ctx, cancel := context.WithTimeout(t.Context(), 2*rpctest.Patience)
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
				if _, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"}); err != nil && !errs.Is(err, errs.Unavailable) {
					t.Errorf("neither an answer nor unavailable: %v", err)
					return
				}
			}
		})
	}
	for range 20 {
		require.Eventually(t, func() bool {
			_, err := client.GetProduct(ctx, &productv1.GetProductRequest{Id: "1"})
			return err == nil
		}, rpctest.Patience, time.Millisecond)
		c.cut()
		wait(t, c.lost)
		wait(t, c.back)
	}
	close(done)
	ended := make(chan struct{})
	go func() {
		callers.Wait()
		close(ended)
	}()
	wait(t, ended)
}

// TestCallsAfterTheConnectionIsClosed fail at once.
func TestCallsAfterTheConnectionIsClosed(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"used before": true, "never used": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := natstest.Conn(t)
			conn := natsrpc.New(nc, natsrpc.Options{}).Conn()
			if first {
				require.Equal(t, errs.Unavailable, errs.CodeOf(conn.Invoke(t.Context(), getProduct, &productv1.GetProductRequest{}, &productv1.GetProductResponse{})))
			}
			nc.Close()
			require.Equal(t, errs.Unavailable, errs.CodeOf(conn.Invoke(t.Context(), getProduct, &productv1.GetProductRequest{}, &productv1.GetProductResponse{})))
		})
	}
}
