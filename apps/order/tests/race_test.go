package tests

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/moduletest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
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

// A batch of cancellations locks its orders in the order of their IDs, whatever order they arrive in, as payment
// updates do. Otherwise two batches could deadlock.
func TestCancellationsLockOrdersByID(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	first := h.confirmedOrder(c).GetId()
	h.fill(c.ID, line("var_a", 1))
	second := h.confirmedOrder(c).GetId()
	require.Less(t, first, second)

	other, err := h.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = other.Rollback(context.Background()) }()
	_, err = other.Exec(t.Context(), `select from orders where id = $1 for update`, first)
	require.NoError(t, err)

	done := make(chan error, 1)
	go func() {
		var b pgx.Batch
		for _, orderID := range []string{second, first} {
			step := h.store.CancelStep("finish", func(*saga.Run) (domain.Cancellation, event.Event, error) {
				now := time.Now()
				e, err := event.New(context.Background(), "evt.order.cancelled", orderID, 9, now,
					&orderv1.OrderCancelled{OrderId: orderID})
				return domain.Cancellation{OrderID: orderID, PaymentStatus: "refunded", At: now}, e, err
			})
			if err := step.Batch(&saga.Run{}, &b); err != nil {
				done <- err
				return
			}
		}
		done <- postgres.SendBatch(context.Background(), h.Pool, &b)
	}()
	const waits = `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`
	waittest.Until(t, func() bool { return moduletest.Value[bool](h.Service, waits) }, "no statement waits for a lock")
	_, err = other.Exec(t.Context(), `select from orders where id = $1 for update nowait`, second)
	require.NoError(t, err, "they hold the second one already")
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, waittest.Receive(t, done))
	for _, orderID := range []string{first, second} {
		require.True(t, slices.Contains(h.Events(orderID), "evt.order.cancelled"))
		var orders, parts int
		require.NoError(
			t,
			h.Pool.QueryRow(t.Context(), `select count(*) filter (where o.status = 'cancelled'), count(*) filter (where s.status = 'cancelled')
			from orders o join shop_order s on s.order_id = o.id where o.id = $1`, orderID).
				Scan(&orders, &parts),
		)
		require.NotZero(t, parts)
		require.Equal(t, parts, orders)
	}
}
