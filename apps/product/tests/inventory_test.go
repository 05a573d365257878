package tests

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
)

func (b *bundle) reserve(orderID string, lines []*productv1.Line) error {
	_, err := b.order.ReserveInventory(context.Background(), &productv1.ReserveInventoryRequest{OrderId: orderID, Lines: lines, TtlSeconds: 60})
	return err
}

func (b *bundle) release(orderID string) error {
	_, err := b.order.ReleaseInventory(context.Background(), &productv1.ReleaseInventoryRequest{OrderId: orderID})
	return err
}

func (b *bundle) commit(orderID string) error {
	_, err := b.order.CommitInventory(context.Background(), &productv1.CommitInventoryRequest{OrderId: orderID})
	return err
}

func (b *bundle) restock(orderID string) error {
	_, err := b.order.RestockInventory(context.Background(), &productv1.RestockInventoryRequest{OrderId: orderID})
	return err
}

func TestTwoHundredBuyersOfTenPieces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(10)
	var won atomic.Int64
	var wg sync.WaitGroup
	orders := make([]string, 200)
	for i := range orders {
		orders[i] = id.New(id.Order)
		wg.Go(func() {
			err := b.reserve(orders[i], line(variantID, 1))
			if err == nil {
				won.Add(1)
				return
			}
			if errs.CodeOf(err) != errs.OutOfStock || errs.From(err).Fields[0].Path != variantID {
				t.Errorf("want out_of_stock, got %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 10, won.Load())
	onHand, reserved := b.stock(variantID)
	require.EqualValues(t, 10, onHand)
	require.EqualValues(t, 10, reserved)
	require.Equal(t, 10, b.events("evt.inventory.reserved"))
	require.Equal(t, 1, b.events("evt.inventory.low"))
	for _, orderID := range orders {
		require.NoError(t, b.release(orderID))
	}
	_, reserved = b.stock(variantID)
	require.Zero(t, reserved)
	require.Equal(t, 10, b.events("evt.inventory.released"))
}

func TestOneOrderReservesOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(1000)
	orderID := id.New(id.Order)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := b.reserve(orderID, line(variantID, 3)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, reserved := b.stock(variantID)
	require.EqualValues(t, 3, reserved)
	require.Equal(t, errs.Conflict, errs.CodeOf(b.reserve(orderID, line(variantID, 4))))
	require.Equal(t, 1, b.events("evt.inventory.reserved"))
}

func TestReserveAllLinesOrNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plenty, scarce := b.variant(100), b.variant(1)
	lines := append(line(plenty, 2), line(scarce, 2)...)
	err := b.reserve(id.New(id.Order), lines)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err))
	require.Len(t, errs.From(err).Fields, 1)
	require.Equal(t, scarce, errs.From(err).Fields[0].Path)
	require.Contains(t, errs.From(err).Message, "Thing")
	_, reserved := b.stock(plenty)
	require.Zero(t, reserved)
	require.Equal(t, errs.NotFound, errs.CodeOf(b.reserve(id.New(id.Order), line(id.New(id.Variant), 1))))
	// the same variant twice counts together
	require.Equal(t, errs.OutOfStock, errs.CodeOf(b.reserve(id.New(id.Order), append(line(scarce, 1), line(scarce, 1)...))))
}

func TestReleaseBeforeReserveLeavesATombstone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(5)
	orderID := id.New(id.Order)
	require.NoError(t, b.release(orderID))
	require.NoError(t, b.release(orderID))
	require.Equal(t, errs.Conflict, errs.CodeOf(b.reserve(orderID, line(variantID, 1))))
	_, reserved := b.stock(variantID)
	require.Zero(t, reserved)
	require.Zero(t, b.events("evt.inventory.released"))
}

func TestCommitAndRestock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(5)
	orderID := id.New(id.Order)
	require.Equal(t, errs.NotFound, errs.CodeOf(b.commit(orderID)))
	require.Equal(t, errs.NotFound, errs.CodeOf(b.restock(orderID)))
	require.NoError(t, b.reserve(orderID, line(variantID, 5)))
	require.Equal(t, errs.Conflict, errs.CodeOf(b.restock(orderID)))
	for range 2 {
		require.NoError(t, b.commit(orderID))
		onHand, reserved := b.stock(variantID)
		require.Zero(t, onHand)
		require.Zero(t, reserved)
	}
	require.Equal(t, errs.Conflict, errs.CodeOf(b.release(orderID)))
	for range 2 {
		require.NoError(t, b.restock(orderID))
		onHand, _ := b.stock(variantID)
		require.EqualValues(t, 5, onHand)
	}
	require.Equal(t, errs.Conflict, errs.CodeOf(b.commit(orderID)))
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	variantID := b.variant(5)
	first, second, third := id.New(id.Order), id.New(id.Order), id.New(id.Order)
	require.NoError(t, b.reserve(first, line(variantID, 3)))
	require.NoError(t, b.reserve(third, line(variantID, 2)))
	n, err := b.store.Sweep(ctx, 100)
	require.NoError(t, err)
	require.Zero(t, n)

	b.clock.Advance(2 * time.Minute)
	n, err = b.store.Sweep(ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	_, reserved := b.stock(variantID)
	require.Zero(t, reserved)
	require.Equal(t, 2, b.events("evt.inventory.released"))

	// a commit that comes late is still served while there are pieces
	require.NoError(t, b.commit(first))
	onHand, _ := b.stock(variantID)
	require.EqualValues(t, 2, onHand)
	require.NoError(t, b.reserve(second, line(variantID, 2)))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(b.commit(third)))
	require.Equal(t, errs.Conflict, errs.CodeOf(b.reserve(third, line(variantID, 2))))
	require.NoError(t, b.release(second))
	require.NoError(t, b.commit(third))
}

func TestExpiryAgainstCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	variantID := b.variant(50)
	orders := make([]string, 50)
	for i := range orders {
		orders[i] = id.New(id.Order)
		require.NoError(t, b.reserve(orders[i], line(variantID, 1)))
	}
	b.clock.Advance(2 * time.Minute)
	var wg sync.WaitGroup
	for _, orderID := range orders {
		wg.Go(func() {
			if err := b.commit(orderID); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			if _, err := b.store.Sweep(ctx, 20); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	onHand, reserved := b.stock(variantID)
	require.Zero(t, onHand)
	require.Zero(t, reserved)
}

func TestStockThatRunsOutShowsInTheListing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cached = true })
	shop, _ := b.shop("s")
	productID := b.add(simple(shop, "p", "Rare lamp", 2))[0]
	variantID := b.get(productID).GetVariants()[0].GetId()
	inStock := func() int {
		out, err := b.visitor.SearchProducts(b.asAnybody(), &productv1.SearchProductsRequest{InStock: true, Query: "lamp"})
		require.NoError(t, err)
		return len(out.GetProducts())
	}
	require.Equal(t, 1, inStock())
	orderID := id.New(id.Order)
	require.NoError(t, b.reserve(orderID, line(variantID, 2)))
	require.False(t, b.get(productID).GetVariants()[0].GetAvailable())
	require.Zero(t, inStock())
	require.NoError(t, b.release(orderID))
	require.True(t, b.get(productID).GetVariants()[0].GetAvailable())
	require.Equal(t, 1, inStock())
}

func TestWhatIsNotForSaleCannotBeReserved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	productID := b.add(simple(shop, "p", "Lamp", 5))[0]
	variantID := b.get(productID).GetVariants()[0].GetId()
	held := id.New(id.Order)
	require.NoError(t, b.reserve(held, line(variantID, 1)))
	_, err := b.operator.DeleteProduct(b.asOperator(), &productv1.DeleteProductRequest{Id: productID})
	require.NoError(t, err)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(b.reserve(id.New(id.Order), line(variantID, 1))))
	require.NoError(t, b.commit(held)) // what was sold is delivered
	offers, err := b.order.BatchGetVariants(context.Background(), &productv1.BatchGetVariantsRequest{VariantIds: []string{variantID, "x"}})
	require.NoError(t, err)
	require.Len(t, offers.GetOffers(), 1)
	require.False(t, offers.GetOffers()[0].GetForSale())
}

func TestCheckAvailability(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plenty, scarce := b.variant(100), b.variant(1)
	out, err := b.order.CheckAvailability(context.Background(), &productv1.CheckAvailabilityRequest{
		Lines: append(append(line(plenty, 100), line(scarce, 2)...), line("var_unknown", 1)...),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{scarce, "var_unknown"}, out.GetShortVariantIds())
}

func TestOnlyOrderMovesStock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variantID := b.variant(5)
	for name, ctx := range map[string]context.Context{"operator": b.asOperator(), "visitor": b.asAnybody(), "user": b.asUser(id.New(id.User))} {
		_, err := b.visitor.ReserveInventory(ctx, &productv1.ReserveInventoryRequest{OrderId: id.New(id.Order), Lines: line(variantID, 1)})
		require.Contains(t, []errs.Code{errs.Forbidden, errs.Unauthenticated}, errs.CodeOf(err), name)
	}
}

func TestManyVariantsAtOnceDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	var products []*productv1.ImportedProduct
	for i := range 20 {
		products = append(products, simple(shop, fmt.Sprint("p", i), "Thing", 1_000_000))
	}
	var variants []string
	for _, productID := range b.add(products...) {
		variants = append(variants, b.get(productID).GetVariants()[0].GetId())
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				orderID := id.New(id.Order)
				lines := append(line(variants[(w*7+i)%20], 1), line(variants[(w*3+i*5+1)%20], 2)...)
				if err := b.reserve(orderID, lines); err != nil {
					t.Error(err)
				}
				if err := b.commit(orderID); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { // a seller at the same time
			for i := range 10 {
				productID := b.productOf(variants[(w+i)%20])
				title := fmt.Sprint("Thing ", w, i)
				if _, err := b.operator.UpdateProduct(b.asOperator(), &productv1.UpdateProductRequest{Id: productID, Title: &title}); err != nil {
					t.Error(err)
				}
				if _, err := b.operator.SetStock(b.asOperator(), &productv1.SetStockRequest{VariantId: variants[(w*2+i)%20], OnHand: pieces(1_000_000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var reserved int64
	require.NoError(t, b.pool.QueryRow(context.Background(), `select sum(reserved) from stock`).Scan(&reserved))
	require.Zero(t, reserved)
}

func (b *bundle) productOf(variantID string) (productID string) {
	if err := b.pool.QueryRow(context.Background(), `select product_id from variant where id = $1`, variantID).Scan(&productID); err != nil {
		b.t.Error(err)
	}
	return productID
}
