package tests

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/waittest"
)

// The slower of two requests with one key finds the cart empty, because the faster one has ordered its items. Both
// get the order.
func TestConcurrentRequestsWithSameKeyReturnSameOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	var n atomic.Int32
	waiting, goOn := make(chan struct{}), make(chan struct{})
	h.before = func(method string) {
		if method == "GetLines" && n.Add(1) == 1 { // only the first request waits
			close(waiting)
			waittest.Receive(t, goOn)
		}
	}
	var slowID string
	var slowErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		o, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		slowID, slowErr = o.GetId(), err
	})
	waittest.Receive(t, waiting)
	fast, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	close(goOn)
	wg.Wait()
	require.NoError(t, slowErr)
	require.Equal(t, fast.GetId(), slowID)
}

// A request that its client gave up (its gateway died, its customer closed the page) may still run when its retry
// is refused. It must not place an order after that, because the customer has seen the refusal.
func TestRefusalAnswersAllRequestsWithItsKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	var n atomic.Int32
	waiting, goOn := make(chan struct{}), make(chan struct{})
	h.before = func(method string) {
		if method == "BatchGetVariants" && n.Add(1) == 1 {
			close(waiting)
			waittest.Receive(t, goOn)
		}
	}
	slow := make(chan error, 1)
	go func() {
		_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
		slow <- err
	}()
	waittest.Receive(t, waiting)
	h.offer("var_a", "shp_1", "10.00", 0) // another customer reserves the last pieces for a moment
	_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	fields := errs.From(err).Fields
	h.offer("var_a", "shp_1", "10.00", 10)
	close(goOn)
	err = waittest.Receive(t, slow)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	require.Equal(t, fields, errs.From(err).Fields)
	_, err = h.checkout(c, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err), "%v", err)
	require.Empty(t, h.money)
	orders, err := h.client.ListOrders(h.As(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Empty(t, orders.GetOrders(), "a stored refusal is not an order")
	_, err = h.checkout(c, "another", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	h.requireConsistent()
}
