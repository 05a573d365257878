package tests

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/product/internal/repository"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// locked runs sql in a new transaction. It returns the open transaction and a function that rolls it back.
func (h *harness) locked(sql string, args ...any) (tx pgx.Tx, end func()) {
	h.t.Helper()
	ctx := context.Background()
	tx, err := h.Pool.Begin(ctx)
	require.NoError(h.t, err)
	end = sync.OnceFunc(func() { _ = tx.Rollback(ctx) })
	h.t.Cleanup(end)
	_, err = tx.Exec(ctx, sql, args...)
	require.NoError(h.t, err)
	return tx, end
}

// Another transaction has locked the listing of a product that sells out. Buyers of other products do not wait.
func TestLockedListingDelaysNoOtherProduct(t *testing.T) {
	t.Parallel()
	h := setup(t)
	last, other := h.variant(1), h.variant(100)
	_, unlock := h.locked(`select from listing for update`)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.reserve(id.New(id.Order), line(last, 1)); err != nil {
			t.Error(err)
		}
	})
	h.waitForLocks(1)
	for range 10 {
		require.NoError(t, h.reserve(id.New(id.Order), line(other, 1)))
	}
	unlock()
	wg.Wait()
	_, reserved := h.stock(last)
	require.EqualValues(t, 1, reserved)
}

// Another transaction has locked a variant's stock, as an import does, and many want to buy it. Buyers of other
// variants do not wait.
func TestLockedStockDelaysNoOtherVariant(t *testing.T) {
	t.Parallel()
	h := setup(t)
	hot, other := h.variant(100), h.variant(100)
	held := id.New(id.Order)
	require.NoError(t, h.reserve(held, line(hot, 1)))
	_, unlock := h.locked(`select from stock where variant_id = $1 for update`, hot)

	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := h.reserve(id.New(id.Order), line(hot, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	h.waitForLocks(1)
	wg.Go(func() {
		if err := h.reserve(id.New(id.Order), append(line(hot, 1), line(other, 1)...)); err != nil {
			t.Error(err)
		}
	})
	for range 2 { // a call and its retry
		wg.Go(func() {
			if err := h.commit(held); err != nil {
				t.Error(err)
			}
		})
	}
	for range 10 {
		orderID := id.New(id.Order)
		require.NoError(t, h.reserve(orderID, line(other, 1)))
		require.NoError(t, h.commit(orderID))
	}
	unlock()
	wg.Wait()
	onHand, reserved := h.stock(hot)
	require.EqualValues(t, 99, onHand)
	require.EqualValues(t, 11, reserved)
	onHand, reserved = h.stock(other)
	require.EqualValues(t, 90, onHand)
	require.EqualValues(t, 1, reserved)
}

// Reservations that expire while they are locked are left for the next sweep. The others expire.
func TestSweepSkipsLockedRows(t *testing.T) {
	t.Parallel()
	h := setup(t)
	hot, other := h.variant(5), h.variant(5)
	require.NoError(t, h.reserve(id.New(id.Order), line(hot, 1)))
	require.NoError(t, h.reserve(id.New(id.Order), line(other, 1)))
	h.clock.Advance(time.Hour)
	_, unlock := h.locked(`select from stock where variant_id = $1 for update`, hot)
	n, err := h.store.Sweep(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, reserved := h.stock(other)
	require.Zero(t, reserved)
	unlock()
	n, err = h.store.Sweep(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, reserved = h.stock(hot)
	require.Zero(t, reserved)
}

// New reservations are written in key order, in whatever order they arrive. So two transactions that write the
// same ones (a call and its retry in another process) wait for each other but do not deadlock.
func TestNewReservationsAreWrittenInOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	variantID := h.variant(100)
	const insert = `insert into reservation (order_id, state, request_hash, expires_at, created_at, updated_at)
		values ($1, 'held', '', now(), now(), now())`
	order := func(n int) string { return fmt.Sprintf("ord_%02d", n) }
	_, first := h.locked(insert, order(0))
	other, last := h.locked(insert, order(5))

	var wg sync.WaitGroup
	reserve := func(n int) {
		if err := h.reserve(order(n), line(variantID, 1)); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { reserve(0) }) // delays the next ones, so that they share a transaction
	h.waitForLocks(1)
	var calling sync.WaitGroup
	for _, n := range []int{6, 7, 8, 5, 1, 9} {
		calling.Add(1)
		wg.Go(func() { calling.Done(); reserve(n) })
	}
	calling.Wait()
	first()
	waittest.Until(t, func() bool {
		_, reserved := h.stock(variantID)
		return reserved > 0
	}, "nothing is reserved")
	h.waitForLocks(1)
	_, err := other.Exec(ctx, `set local lock_timeout = '200ms'`) // no other transaction has these keys
	require.NoError(t, err)
	for n := 6; n <= 9; n++ {
		// a reservation that got a transaction of its own exists already
		_, err := other.Exec(ctx, insert+` on conflict do nothing`, order(n))
		require.NoError(t, err)
	}
	last()
	wg.Wait()
	_, reserved := h.stock(variantID)
	require.EqualValues(t, 7, reserved)
}

// Two processes get the same calls, in any order, while imports lock stock. Each order gets one reservation,
// without a deadlock.
func TestTwoProcessesReserveOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	other := productv1.NewProductServiceClient(h.Another().Client("order"))
	var variants []string
	for range 4 {
		variants = append(variants, h.variant(10_000))
	}
	var locking sync.WaitGroup
	stop := make(chan struct{})
	locking.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			_, err := h.Pool.Exec(ctx,
				`select pg_sleep(0.002) from (select from stock where variant_id = $1 for update) k`, variants[n%4])
			if err != nil {
				t.Error(err)
			}
		}
	})
	var wg sync.WaitGroup
	for pass := range 10 {
		orders := make([]string, 8)
		for i := range orders {
			orders[i] = id.New(id.Order)
		}
		for _, process := range []productv1.ProductServiceClient{h.order, other} {
			for i, orderID := range orders {
				wg.Go(func() {
					lines := append(line(variants[(i+pass)%4], 1), line(variants[(i+1)%4], 2)...)
					reserve := &productv1.ReserveInventoryRequest{OrderId: orderID, Lines: lines, TtlSeconds: 60}
					if _, err := process.ReserveInventory(ctx, reserve); err != nil {
						t.Error(err)
					}
					commit := &productv1.CommitInventoryRequest{OrderId: orderID}
					if _, err := process.CommitInventory(ctx, commit); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	}
	close(stop)
	locking.Wait()
	require.Equal(t, 10*8*3, moduletest.Value[int](h.Service, `select sum(10000 - on_hand) from stock`))
	require.Zero(t, moduletest.Value[int](h.Service, `select sum(reserved) from stock`))
	require.Equal(t, 10*8, h.appended("evt.inventory.reserved"))
}

// An import that does not change the pieces locks no stock, so that it delays no sale.
func TestImportOfNewPricesTouchesNoStock(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	p := simple(shop, "p", "Lamp", 5)
	h.add(p)
	_, unlock := h.locked(`select from stock for update`)
	p.Variants[0].Price = brl("12.00")
	require.Equal(t, map[string]int{"updated": 1}, h.importAll([]*productv1.ImportedProduct{p}))
	unlock()
	p.Variants[0].OnHand = pieces(7)
	require.Equal(t, map[string]int{"updated": 1}, h.importAll([]*productv1.ImportedProduct{p}))
	require.Equal(t, 7, moduletest.Value[int](h.Service, `select on_hand from stock`))
}

// offersSeen counts the statements that read offers.
type offersSeen struct{ n atomic.Int64 }

func (o *offersSeen) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "name: Offers") {
		o.n.Add(1)
	}
	return ctx
}

func (o *offersSeen) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestCallersShareAStatementForOffers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	shop, _ := h.shop("s")
	variants := h.many(shop, 40)
	broken := variants[39]
	_, err := h.Pool.Exec(ctx, `update variant set options = '"none"' where id = $1`, broken)
	require.NoError(t, err)
	var seen offersSeen
	pool, err := postgres.Open(ctx, postgres.Config{URL: h.Pool.Config().ConnString(), Tracer: &seen})
	require.NoError(t, err)
	defer pool.Close()
	store := repository.New(pool, repository.Options{Clock: h.clock})
	defer store.Close()

	_, unlock := h.locked(`lock table variant in access exclusive mode`)
	var wg, calling sync.WaitGroup
	for i := range 100 {
		calling.Add(1)
		wg.Go(func() {
			calling.Done()
			mine := []string{variants[i%39], "var_unknown", variants[(i+7)%39], variants[i%39]}
			switch i % 10 {
			case 1: // an unreadable variant fails only its own caller
				mine = append(mine, broken)
			case 2:
				mine = append(mine, "\x00", "\xff")
			}
			offers, err := store.Offers(ctx, mine)
			if i%10 == 1 {
				if err == nil {
					t.Error("got a variant that cannot be read")
				}
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if len(offers) != 2 || offers[0].ID != mine[0] || offers[1].ID != mine[2] {
				t.Errorf("%v got %v", mine, offers)
			}
		})
	}
	calling.Wait()
	h.waitForLocks(1)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = store.Offers(canceled, variants[:1])
	require.Equal(t, errs.Timeout, errs.CodeOf(err))
	unlock()
	wg.Wait()
	require.Less(t, seen.n.Load(), int64(20))
}
