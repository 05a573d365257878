package tests

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/apps/order"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// atNoon stops the clock at noon, so that what a test sells and cancels is on one day.
func atNoon() moduletest.Option {
	return moduletest.Clock(clock.NewManual(time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)))
}

// waitForSales waits until the sales have counted all events of orders.
func (h *harness) waitForSales() {
	h.t.Helper()
	h.waitForSagas()
	waittest.Until(h.t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from outbox e
			where e.subject in ('evt.order.confirmed', 'evt.order.cancelled')
			  and not exists (select from inbox i where i.consumer = 'order_sales' and i.event_id = e.id)`) == 0
	}, "the sales do not handle an event")
}

// sales returns what a shop sold today, as an operator sees it.
func (h *harness) sales(shopID string) *orderv1.SalesDay {
	h.t.Helper()
	h.waitForSales()
	res, err := h.client.GetShopSales(h.As(operator()), &orderv1.GetShopSalesRequest{ShopId: shopID})
	require.NoError(h.t, err)
	require.Len(h.t, res.GetDays(), 1)
	return res.GetDays()[0]
}

// changed returns an event that says that something may have changed about an order.
func (h *harness) changed(subject, orderID string) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), subject, orderID, 1, time.Now(), &orderv1.OrderConfirmed{OrderId: orderID})
	require.NoError(h.t, err)
	return e
}

func TestSalesOfADayCountOrdersAndCancellationsOnce(t *testing.T) {
	t.Parallel()
	h := setupWith(t, atNoon())
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	want := &orderv1.SalesDay{Orders: 1, Pieces: 3}
	day := h.sales("shp_1")
	require.Equal(t, time.Now().UTC().Format(time.DateOnly), day.GetDay())
	require.Equal(t, want.GetOrders(), day.GetOrders())
	require.Equal(t, want.GetPieces(), day.GetPieces())
	require.Equal(t, "30.00", day.GetGoods().GetAmount())
	require.Equal(t, "30.00", day.GetNet().GetAmount())
	require.Zero(t, day.GetCancelledOrders())

	_, err := h.cancel(c, o.GetId(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	// Again, late, and in the wrong order.
	h.Deliver("order", h.changed("evt.order.cancelled", o.GetId()), h.changed("evt.order.confirmed", o.GetId()),
		h.changed("evt.order.confirmed", o.GetId()))
	day = h.sales("shp_1")
	require.EqualValues(t, 1, day.GetOrders())
	require.EqualValues(t, 1, day.GetCancelledOrders())
	require.Equal(t, "30.00", day.GetGoods().GetAmount())
	require.Equal(t, "30.00", day.GetCancelled().GetAmount())
	require.Equal(t, "0.00", day.GetNet().GetAmount())
	other := h.sales("shp_2")
	require.EqualValues(t, 1, other.GetOrders())
	require.Zero(t, other.GetCancelledOrders(), "the other shop's part stays")
	require.Equal(t, "19.99", other.GetNet().GetAmount())

	h.fill(c.ID, line("var_a", 2))
	_, err = h.checkout(c, id.New("key"), checkoutRequest("tok_declined"))
	require.Error(t, err)
	require.EqualValues(t, 1, h.sales("shp_1").GetOrders(), "a refused checkout sells nothing")
	h.requireConsistent()
}

// The migration counts what an older release has sold, and the events that are still on their way count nothing twice.
func TestMigrationCountsWhatWasSoldBefore(t *testing.T) {
	t.Parallel()
	h := setupWith(t, atNoon())
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	_, err := h.cancel(c, o.GetId(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	want := h.sales("shp_1")
	for _, direction := range []string{"down", "up"} {
		sql, err := fs.ReadFile(order.Module.Migrations, "db/migrations/000008_sales."+direction+".sql")
		require.NoError(t, err)
		_, err = h.Pool.Exec(t.Context(), string(sql), pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	}
	h.Deliver("order", h.changed("evt.order.confirmed", o.GetId()), h.changed("evt.order.cancelled", o.GetId()))
	require.True(t, proto.Equal(want, h.sales("shp_1")))
	h.requireConsistent()
}

// The cancellation is counted before the events of the order arrive.
func TestSalesCountAnOrderThatWasCancelledBeforeItsEventsArrive(t *testing.T) {
	t.Parallel()
	h := setupWith(t, atNoon())
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	_, err := h.cancel(c, o.GetId())
	require.NoError(t, err)
	h.waitForSales()
	_, err = h.Pool.Exec(t.Context(), `with days as (delete from sales_day) delete from sale_counted`)
	require.NoError(t, err)
	require.Contains(t, h.violations(), "orders whose events were handled count in the sales")
	h.Deliver("order", h.changed("evt.order.confirmed", o.GetId()))
	day := h.sales("shp_1")
	require.EqualValues(t, 1, day.GetOrders())
	require.EqualValues(t, 1, day.GetCancelledOrders())
	h.requireConsistent()
}

func TestCancellationsCountOnTheirOwnDay(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	o := h.confirmedOrder(c)
	_, err := h.Pool.Exec(t.Context(), `update shop_order set confirmed_at = '2026-02-28 23:59:59.9Z'`)
	require.NoError(t, err)
	_, err = h.cancel(c, o.GetId())
	require.NoError(t, err)
	_, err = h.Pool.Exec(t.Context(), `update shop_order set cancelled_at = '2026-03-01 00:00:00Z'`)
	require.NoError(t, err)
	h.waitForSales()
	n, err := h.Rebuild(t.Context(), order.Sales, nil)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	get := func(from, to string) []*orderv1.SalesDay {
		res, err := h.client.GetShopSales(h.As(operator()),
			&orderv1.GetShopSalesRequest{ShopId: "shp_1", From: from, To: to})
		require.NoError(t, err)
		return res.GetDays()
	}
	days := get("2026-02-28", "2026-03-01")
	require.Len(t, days, 2)
	require.Equal(t, "2026-02-28", days[0].GetDay())
	require.Equal(t, "30.00", days[0].GetNet().GetAmount())
	require.Equal(t, "-30.00", days[1].GetNet().GetAmount())
	require.Equal(t, days[1:], get("2026-03-01", "2026-03-01"))
	require.Empty(t, get("2026-03-02", "2026-03-31"))
	h.requireConsistent()
}

func TestSalesAreForMembersInRangesOfDays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	member, other := user("member"), user("other")
	h.members["shp_1/"+member.ID] = true
	for name, tc := range map[string]struct {
		shop, from, to string
		code           errs.Code
	}{
		"default": {shop: "shp_1"}, "a leap year": {shop: "shp_1", from: "2024-01-01", to: "2024-12-31"},
		"another shop":     {shop: "shp_2", code: errs.NotFound},
		"too long":         {shop: "shp_1", from: "2024-01-01", to: "2025-01-01", code: errs.Invalid},
		"backwards":        {shop: "shp_1", from: "2024-01-02", to: "2024-01-01", code: errs.Invalid},
		"not a date":       {shop: "shp_1", from: "yesterday", code: errs.Invalid},
		"not in calendars": {shop: "shp_1", from: "2025-02-29", to: "2025-03-01", code: errs.Invalid},
		"no month":         {shop: "shp_1", to: "2025-13-01", code: errs.Invalid},
	} {
		req := &orderv1.GetShopSalesRequest{ShopId: tc.shop, From: tc.from, To: tc.to}
		_, err := h.client.GetShopSales(h.As(member), req)
		require.Equal(t, tc.code, errs.CodeOf(err), "%s: %v", name, err)
		if tc.code == "" {
			_, err = h.client.GetShopSales(h.As(other), req)
			require.Equal(t, errs.NotFound, errs.CodeOf(err), name)
		}
	}
}

// Checkouts and cancellations run while the sales are rebuilt again and again. In the end each counts once.
func TestRebuildOfSalesBesideCheckoutsAndCancellations(t *testing.T) {
	t.Parallel()
	h := setupWith(t, atNoon())
	const customers = 24
	cancelled, left := atomic.Int64{}, atomic.Int64{}
	left.Store(customers)
	rebuilds := 0
	for _, err := range moduletest.Concurrently(customers+1, func(i int) error {
		if i == customers {
			for left.Load() > 0 || rebuilds < 3 {
				if _, err := h.Rebuild(t.Context(), order.Sales, nil); err != nil {
					return err
				}
				rebuilds++
			}
			return nil
		}
		defer left.Add(-1)
		c := h.newCustomer()
		o, err := h.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
		if err != nil || rand.N(2) == 0 { //nolint:gosec // a test
			return err
		}
		cancelled.Add(1)
		_, err = h.cancel(c, o.GetId(), o.GetShopOrders()[i%2].GetId())
		return err
	}) {
		require.NoError(t, err)
	}
	a, b := h.sales("shp_1"), h.sales("shp_2")
	require.EqualValues(t, customers, a.GetOrders())
	require.EqualValues(t, customers, b.GetOrders())
	require.EqualValues(t, 3*customers, a.GetPieces())
	require.EqualValues(t, cancelled.Load(), a.GetCancelledOrders()+b.GetCancelledOrders())
	require.Greater(t, rebuilds, 2)
	h.requireConsistent()
}

// An event's transaction has counted an order and is not committed yet when a rebuild begins.
func TestRebuildOfSalesWaitsForAnEventInFlight(t *testing.T) {
	t.Parallel()
	h := setupWith(t, atNoon())
	first, second := h.confirmedOrder(h.newCustomer()), h.confirmedOrder(h.newCustomer())
	h.waitForSales()
	ctx := t.Context()
	_, err := h.Pool.Exec(ctx, `with days as (delete from sales_day) delete from sale_counted`)
	require.NoError(t, err)
	count, err := os.ReadFile(filepath.Join("..", "internal", "repository", "sql", "count_sales.sql"))
	require.NoError(t, err)
	_, err = h.Pool.Exec(ctx, string(count), []string{first.GetId()})
	require.NoError(t, err)
	tx, err := h.Pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, string(count), []string{second.GetId()})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := h.Rebuild(ctx, order.Sales, nil)
		done <- err
	}()
	waittest.Until(t, func() bool {
		return moduletest.Value[bool](h.Service, `
			select exists (select from pg_locks l join pg_stat_activity a on a.pid = l.pid
				where a.datname = current_database() and not l.granted)`)
	}, "the rebuild does not wait for the event")
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, waittest.Receive(t, done))
	require.EqualValues(t, 2, h.sales("shp_1").GetOrders())
	h.requireConsistent()
}

func TestVerifyFindsSalesThatDoNotAddUp(t *testing.T) {
	t.Parallel()
	for damage, want := range map[string]string{
		`update sales_day set pieces = pieces + 1 where shop_id = 'shp_1'`: "sales by day add up to what was counted",
		`delete from sales_day where shop_id = 'shp_1'`:                    "sales by day add up to what was counted",
		`insert into sale_counted values ('sho_none', false, now())`:       "what counts as sold or cancelled was",
	} {
		h := setup(t)
		h.confirmedOrder(h.newCustomer())
		h.waitForSales()
		h.requireConsistent()
		_, err := h.Pool.Exec(t.Context(), damage)
		require.NoError(t, err)
		require.Contains(t, h.violations(), want)
		_, err = h.Rebuild(t.Context(), order.Sales, nil)
		require.NoError(t, err)
		h.requireConsistent()
	}
}
