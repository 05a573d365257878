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
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

// TestSameKeyWhoseCartIsGone: of two requests with one key the slower one finds the cart empty, because the faster one
// ordered it. Both get the order.
func TestSameKeyWhoseCartIsGone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	var n atomic.Int32
	waiting, goOn := make(chan struct{}), make(chan struct{})
	k.before = func(method string) {
		if method == "GetLines" && n.Add(1) == 1 { // it has looked for an order with its key already
			close(waiting)
			<-goOn
		}
	}
	var slowID string
	var slowErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		slowID, slowErr = o.GetId(), err
	})
	<-waiting
	fast, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	close(goOn)
	wg.Wait()
	require.NoError(t, slowErr)
	require.Equal(t, fast.GetId(), slowID)
}

// TestARefusalIsTheAnswerToAllOfItsKey: a request that was given up (its gateway died, its customer closed the page) may still
// be at work when its retry is refused. It must not order after that: the customer was told that nothing was.
func TestARefusalIsTheAnswerToAllOfItsKey(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	var n atomic.Int32
	waiting, goOn := make(chan struct{}), make(chan struct{})
	k.before = func(method string) {
		if method == "BatchGetVariants" && n.Add(1) == 1 {
			close(waiting)
			<-goOn
		}
	}
	slow := make(chan error, 1)
	go func() {
		_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		slow <- err
	}()
	<-waiting
	k.offer("var_a", "shp_1", "10.00", 0) // somebody holds the last pieces for a moment
	_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	told := errs.From(err).Fields
	k.offer("var_a", "shp_1", "10.00", 10)
	close(goOn)
	err = <-slow
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	require.Equal(t, told, errs.From(err).Fields)
	_, err = k.checkout(c, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err), "%v", err)
	require.Empty(t, k.money)
	orders, err := k.client.ListOrders(k.as(c), &orderv1.ListOrdersRequest{})
	require.NoError(t, err)
	require.Empty(t, orders.GetOrders(), "what is kept is no order")
	_, err = k.checkout(c, "another", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	k.clean()
}

// TestCancellationsLockOrdersByID: whatever order cancellations arrive in, those that are written together wait for their
// first order without holding another, as news of payments do; else each could wait for what the other holds.
func TestCancellationsLockOrdersByID(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	first := k.bought(c).GetId()
	k.fill(c.ID, line("var_a", 1))
	second := k.bought(c).GetId()
	require.Less(t, first, second)

	other, err := k.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = other.Rollback(context.Background()) }()
	_, err = other.Exec(t.Context(), `select from orders where id = $1 for update`, first)
	require.NoError(t, err)

	done := make(chan error, 1)
	go func() {
		var b pgx.Batch
		for _, orderID := range []string{second, first} {
			step := k.store.CancelStep("finish", func(*saga.Run) (domain.Cancellation, event.Event, error) {
				now := time.Now()
				e, err := event.New(context.Background(), "evt.order.cancelled", orderID, 9, now, &orderv1.OrderCancelled{OrderId: orderID})
				return domain.Cancellation{OrderID: orderID, PaymentStatus: "refunded", At: now}, e, err
			})
			if err := step.Batch(&saga.Run{}, &b); err != nil {
				done <- err
				return
			}
		}
		done <- postgres.SendBatch(context.Background(), k.pool, &b)
	}()
	k.eventually(func() bool {
		var waits bool
		require.NoError(t, k.pool.QueryRow(t.Context(),
			`select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits))
		return waits
	})
	_, err = other.Exec(t.Context(), `select from orders where id = $1 for update nowait`, second)
	require.NoError(t, err, "they hold the second already")
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, <-done)
	for _, orderID := range []string{first, second} {
		require.True(t, slices.Contains(k.events(orderID), "evt.order.cancelled"))
		var orders, parts int
		require.NoError(t, k.pool.QueryRow(t.Context(), `select count(*) filter (where o.status = 'cancelled'), count(*) filter (where s.status = 'cancelled')
			from orders o join shop_order s on s.order_id = o.id where o.id = $1`, orderID).Scan(&orders, &parts))
		require.NotZero(t, parts)
		require.Equal(t, parts, orders)
	}
}
