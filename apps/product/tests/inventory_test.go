package tests

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

func (h *harness) reserve(orderID string, lines []*productv1.Line) error {
	_, err := h.order.ReserveInventory(context.Background(),
		&productv1.ReserveInventoryRequest{OrderId: orderID, Lines: lines, TtlSeconds: 60})
	return err
}

func (h *harness) release(orderID string) error {
	_, err := h.order.ReleaseInventory(context.Background(), &productv1.ReleaseInventoryRequest{OrderId: orderID})
	return err
}

func (h *harness) commit(orderID string) error {
	_, err := h.order.CommitInventory(context.Background(), &productv1.CommitInventoryRequest{OrderId: orderID})
	return err
}

// restock puts the lines of the variants back, or all that are left.
func (h *harness) restock(orderID string, variantIDs ...string) error {
	_, err := h.order.RestockInventory(context.Background(),
		&productv1.RestockInventoryRequest{OrderId: orderID, VariantIds: variantIDs})
	return err
}

func TestTwoHundredBuyersGetTenPieces(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(10)
	orders := make([]string, 200)
	won := 0
	for _, err := range moduletest.Concurrently(len(orders), func(i int) error {
		orders[i] = id.New(id.Order)
		return h.reserve(orders[i], line(variantID, 1))
	}) {
		if err == nil {
			won++
			continue
		}
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
		require.Equal(t, variantID, errs.From(err).Fields[0].Path)
	}
	require.Equal(t, 10, won)
	onHand, reserved := h.stock(variantID)
	require.EqualValues(t, 10, onHand)
	require.EqualValues(t, 10, reserved)
	require.Equal(t, 10, h.appended("evt.inventory.reserved"))
	require.Equal(t, 1, h.appended("evt.inventory.low"))
	for _, orderID := range orders {
		require.NoError(t, h.release(orderID))
	}
	_, reserved = h.stock(variantID)
	require.Zero(t, reserved)
	require.Equal(t, 10, h.appended("evt.inventory.released"))
}

func TestOneOrderReservesOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(1000)
	orderID := id.New(id.Order)
	for _, err := range moduletest.Concurrently(100,
		func(int) error { return h.reserve(orderID, line(variantID, 3)) }) {
		require.NoError(t, err)
	}
	_, reserved := h.stock(variantID)
	require.EqualValues(t, 3, reserved)
	require.Equal(t, errs.Conflict, errs.CodeOf(h.reserve(orderID, line(variantID, 4))))
	require.Equal(t, 1, h.appended("evt.inventory.reserved"))
}

func TestReserveHoldsAllLinesOrNone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	plenty, scarce := h.variant(100), h.variant(1)
	lines := append(line(plenty, 2), line(scarce, 2)...)
	err := h.reserve(id.New(id.Order), append(lines, line(plenty, 200)...))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err))
	require.ElementsMatch(t, []errs.Field{
		{Path: scarce, Message: "1 of 2 pieces are available"},
		{Path: plenty, Message: "100 of 202 pieces are available"},
	}, errs.From(err).Fields)
	require.Contains(t, errs.From(err).Message, "Thing")
	_, reserved := h.stock(plenty)
	require.Zero(t, reserved)
	require.Equal(t, errs.NotFound, errs.CodeOf(h.reserve(id.New(id.Order), line(id.New(id.Variant), 1))))
	// lines of the same variant are added up
	require.Equal(t, errs.OutOfStock,
		errs.CodeOf(h.reserve(id.New(id.Order), append(line(scarce, 1), line(scarce, 1)...))))
}

func TestReleaseBeforeReserveLeavesATombstone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(5)
	orderID := id.New(id.Order)
	require.NoError(t, h.release(orderID))
	require.NoError(t, h.release(orderID))
	require.Equal(t, errs.Conflict, errs.CodeOf(h.reserve(orderID, line(variantID, 1))))
	_, reserved := h.stock(variantID)
	require.Zero(t, reserved)
	require.Zero(t, h.appended("evt.inventory.released"))
}

func TestCommitAndRestockTakeEffectOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(5)
	orderID := id.New(id.Order)
	require.Equal(t, errs.NotFound, errs.CodeOf(h.commit(orderID)))
	require.Equal(t, errs.NotFound, errs.CodeOf(h.restock(orderID)))
	require.NoError(t, h.reserve(orderID, line(variantID, 5)))
	require.Equal(t, errs.Conflict, errs.CodeOf(h.restock(orderID)))
	for range 2 {
		require.NoError(t, h.commit(orderID))
		onHand, reserved := h.stock(variantID)
		require.Zero(t, onHand)
		require.Zero(t, reserved)
	}
	require.Equal(t, errs.Conflict, errs.CodeOf(h.release(orderID)))
	for range 2 {
		require.NoError(t, h.restock(orderID))
		onHand, _ := h.stock(variantID)
		require.EqualValues(t, 5, onHand)
	}
	require.Equal(t, errs.Conflict, errs.CodeOf(h.commit(orderID)))
}

// Two shops of one order cancel at the same time, each several times. Each line goes back once, and the order is
// restocked when the last one did.
func TestLinesAreRestockedOnTheirOwn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, b, c := h.variant(5), h.variant(5), h.variant(5)
	orderID := id.New(id.Order)
	require.NoError(t, h.reserve(orderID, slices.Concat(line(a, 1), line(b, 2), line(c, 3))))
	require.NoError(t, h.commit(orderID))
	require.Equal(t, errs.NotFound, errs.CodeOf(h.restock(orderID, a, h.variant(1))), "it has no such line")
	onHand := func(variantID string) int64 { n, _ := h.stock(variantID); return n }
	state := func() string {
		return moduletest.Value[string](h.Service, `select state from reservation where order_id = $1`, orderID)
	}
	for _, err := range moduletest.Concurrently(6, func(i int) error {
		return h.restock(orderID, [][]string{{a}, {b, b}}[i%2]...)
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, []int64{5, 5, 2}, []int64{onHand(a), onHand(b), onHand(c)})
	require.Equal(t, "committed", state())
	var quantities int
	require.NoError(t, h.Pool.QueryRow(
		t.Context(),
		`select count(*) from outbox where aggregate_id = $1 and subject = 'evt.inventory.released'`,
		orderID,
	).Scan(&quantities))
	require.Equal(t, 2, quantities, "an event for each line that went back")
	for range 2 {
		require.NoError(t, h.restock(orderID))
		require.Equal(t, []int64{5, 5, 5}, []int64{onHand(a), onHand(b), onHand(c)})
		require.Equal(t, "restocked", state())
	}
}

func TestExpiredReservationCommitsWhileStockLasts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	variantID := h.variant(5)
	first, second, third := id.New(id.Order), id.New(id.Order), id.New(id.Order)
	require.NoError(t, h.reserve(first, line(variantID, 3)))
	require.NoError(t, h.reserve(third, line(variantID, 2)))
	n, err := h.store.Sweep(ctx, 100)
	require.NoError(t, err)
	require.Zero(t, n)

	h.clock.Advance(2 * time.Minute)
	n, err = h.store.Sweep(ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	_, reserved := h.stock(variantID)
	require.Zero(t, reserved)
	require.Equal(t, 2, h.appended("evt.inventory.released"))

	// a late commit succeeds as long as pieces are available
	require.NoError(t, h.commit(first))
	onHand, _ := h.stock(variantID)
	require.EqualValues(t, 2, onHand)
	require.NoError(t, h.reserve(second, line(variantID, 2)))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(h.commit(third)))
	require.Equal(t, errs.Conflict, errs.CodeOf(h.reserve(third, line(variantID, 2))))
	require.NoError(t, h.release(second))
	require.NoError(t, h.commit(third))
}

func TestCommitsAndSweepsAtOnceSellEveryPiece(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := context.Background()
	variantID := h.variant(50)
	orders := make([]string, 50)
	for i := range orders {
		orders[i] = id.New(id.Order)
		require.NoError(t, h.reserve(orders[i], line(variantID, 1)))
	}
	h.clock.Advance(2 * time.Minute)
	for _, err := range moduletest.Concurrently(len(orders)+4, func(i int) error {
		if i < len(orders) {
			return h.commit(orders[i])
		}
		_, err := h.store.Sweep(ctx, 20)
		return err
	}) {
		require.NoError(t, err)
	}
	onHand, reserved := h.stock(variantID)
	require.Zero(t, onHand)
	require.Zero(t, reserved)
}

func TestListingShowsThatStockRanOut(t *testing.T) {
	t.Parallel()
	h := setup(t, cached(t)...)
	shop, _ := h.shop("s")
	productID := h.add(simple(shop, "p", "Rare lamp", 2))[0]
	variantID := h.get(productID).GetVariants()[0].GetId()
	inStock := func() int {
		out, err := h.client.SearchProducts(h.asVisitor(),
			&productv1.SearchProductsRequest{InStock: true, Query: "lamp"})
		require.NoError(t, err)
		return len(out.GetProducts())
	}
	require.Equal(t, 1, inStock())
	orderID := id.New(id.Order)
	require.NoError(t, h.reserve(orderID, line(variantID, 2)))
	require.False(t, h.get(productID).GetVariants()[0].GetAvailable())
	require.Zero(t, inStock())
	require.NoError(t, h.release(orderID))
	require.True(t, h.get(productID).GetVariants()[0].GetAvailable())
	require.Equal(t, 1, inStock())
}

func TestProductNotForSaleCannotBeReserved(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	productID := h.add(simple(shop, "p", "Lamp", 5))[0]
	variantID := h.get(productID).GetVariants()[0].GetId()
	held := id.New(id.Order)
	require.NoError(t, h.reserve(held, line(variantID, 1)))
	_, err := h.client.DeleteProduct(h.asOperator(), &productv1.DeleteProductRequest{Id: productID})
	require.NoError(t, err)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(h.reserve(id.New(id.Order), line(variantID, 1))))
	require.NoError(t, h.commit(held)) // a reserved product is still delivered
	offers, err := h.order.BatchGetVariants(context.Background(),
		&productv1.BatchGetVariantsRequest{VariantIds: []string{variantID, "x"}})
	require.NoError(t, err)
	require.Len(t, offers.GetOffers(), 1)
	require.False(t, offers.GetOffers()[0].GetForSale())
}

func TestCheckAvailabilityReportsShortVariants(t *testing.T) {
	t.Parallel()
	h := setup(t)
	plenty, scarce := h.variant(100), h.variant(1)
	out, err := h.order.CheckAvailability(context.Background(), &productv1.CheckAvailabilityRequest{
		Lines: append(append(line(plenty, 100), line(scarce, 2)...), line("var_unknown", 1)...),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{scarce, "var_unknown"}, out.GetShortVariantIds())
}

func TestOnlyOrderMovesStock(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variantID := h.variant(5)
	for name, ctx := range map[string]context.Context{
		"operator": h.asOperator(), "visitor": h.asVisitor(), "user": h.AsUser(id.New(id.User)),
	} {
		_, err := h.client.ReserveInventory(ctx,
			&productv1.ReserveInventoryRequest{OrderId: id.New(id.Order), Lines: line(variantID, 1)})
		require.Contains(t, []errs.Code{errs.Forbidden, errs.Unauthenticated}, errs.CodeOf(err), name)
	}
}

func TestConcurrentReservationsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	var products []*productv1.ImportedProduct
	for i := range 20 {
		products = append(products, simple(shop, fmt.Sprint("p", i), "Thing", 1_000_000))
	}
	var variants []string
	for _, productID := range h.add(products...) {
		variants = append(variants, h.get(productID).GetVariants()[0].GetId())
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				orderID := id.New(id.Order)
				lines := append(line(variants[(w*7+i)%20], 1), line(variants[(w*3+i*5+1)%20], 2)...)
				if err := h.reserve(orderID, lines); err != nil {
					t.Error(err)
				}
				if err := h.commit(orderID); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { // a concurrent seller
			for i := range 10 {
				productID := h.productOf(variants[(w+i)%20])
				title := fmt.Sprint("Thing ", w, i)
				if _, err := h.client.UpdateProduct(
					h.asOperator(), &productv1.UpdateProductRequest{Id: productID, Title: &title},
				); err != nil {
					t.Error(err)
				}
				if _, err := h.client.SetStock(
					h.asOperator(),
					&productv1.SetStockRequest{VariantId: variants[(w*2+i)%20], OnHand: pieces(1_000_000)},
				); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, moduletest.Value[int64](h.Service, `select sum(reserved) from stock`))
}

func (h *harness) productOf(variantID string) (productID string) {
	if err := h.Pool.QueryRow(context.Background(), `select product_id from variant where id = $1`, variantID).
		Scan(&productID); err != nil {
		h.t.Error(err)
	}
	return productID
}
