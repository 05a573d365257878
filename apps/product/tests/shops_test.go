package tests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/repository"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// shopUpdate publishes an update of a shop and waits until the listings of its products are refreshed.
func (h *harness) shopUpdate(shopID, name, status string, version int64) {
	h.t.Helper()
	h.Deliver("shop", h.shopUpdated(shopID, name, status, version))
	h.waitForListings()
}

func (h *harness) shopUpdated(shopID, name, status string, version int64) event.Event {
	h.t.Helper()
	m := &shopv1.ShopUpdated{ShopId: shopID, Handle: h.shops.handle(shopID), Name: name, Status: status}
	return h.shopEvent("evt.shop.updated", shopID, version, m)
}

// waitForListings waits until no shop has listings to refresh.
func (h *harness) waitForListings() {
	h.t.Helper()
	const sql = `select not exists (select from shop_ref where relist_after is not null)`
	waittest.Until(h.t, func() bool { return moduletest.Value[bool](h.Service, sql) }, "the listings are not refreshed")
}

func (h *harness) relist(store *repository.Store) (chunks int) {
	h.t.Helper()
	for ; ; chunks++ {
		more, err := store.Relist(context.Background())
		require.NoError(h.t, err)
		if !more {
			return chunks
		}
	}
}

func (h *harness) shopEvent(subject, shopID string, version int64, m proto.Message) event.Event {
	h.t.Helper()
	e, err := event.New(context.Background(), subject, shopID, version, h.clock.Now(), m)
	require.NoError(h.t, err)
	return e
}

// handle passes an event to the consumer's handler in a transaction. The transaction commits if end is nil and
// fails with end otherwise.
func (h *harness) handle(e event.Event, end error) {
	h.t.Helper()
	ctx := context.Background()
	err := postgres.InTx(ctx, h.Pool, func(tx pgx.Tx) error {
		if err := handler.OnShop(h.store)(ctx, tx, e); err != nil {
			return err
		}
		return end
	})
	require.ErrorIs(h.t, err, end)
}

// listed returns how many listings show the shop name.
func (h *harness) listed(shopName string) int {
	h.t.Helper()
	const sql = `select count(*) from listing l where position(convert_to($1, 'UTF8') in l.doc) > 0`
	return moduletest.Value[int](h.Service, sql, shopName)
}

// many adds products of one piece each to a shop, and returns their variants in the order of the products' IDs.
func (h *harness) many(shop string, n int) (variants []string) {
	h.t.Helper()
	var in []*productv1.ImportedProduct
	for i := range n {
		in = append(in, simple(shop, fmt.Sprint("p", i), fmt.Sprint("Lamp ", i), 1))
	}
	for chunk := range slices.Chunk(in, 200) {
		h.add(chunk...)
	}
	const sql = `select array_agg(id order by product_id) from variant where shop_id = $1`
	return moduletest.Value[[]string](h.Service, sql, shop)
}

var errRolledBack = errors.New("the consumer could not commit")

// The effect of an event is committed with the consumer's inbox row or not at all.
func TestShopUpdateIsPartOfTheConsumersTransaction(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	variantID := h.many(shop, 1)[0]
	suspended := h.shopEvent("evt.shop.suspended", shop, 2,
		&shopv1.ShopSuspended{ShopId: shop, Handle: "s", Name: "Shop s"})

	h.handle(suspended, errRolledBack)
	require.Zero(t, h.relist(h.store))
	require.NoError(t, h.reserve(id.New(id.Order), line(variantID, 1)))

	h.Deliver("shop", suspended)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(h.reserve(id.New(id.Order), line(variantID, 1))))
	h.waitForListings()
	require.Empty(t, h.search(&productv1.SearchProductsRequest{}).GetProducts())
}

// Events arrive twice, late and in any order, with a crash in between. The listings end with the newest version.
func TestShopUpdatesConverge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	h.many(shop, 250)
	h.Stop() // the test refreshes the listings, chunk by chunk
	updated := func(version int64, name string) event.Event { return h.shopUpdated(shop, name, "active", version) }
	second, third, fourth := updated(2, "Second name"), updated(3, "Third name"), updated(4, "Fourth name")

	h.handle(third, nil)
	more, err := h.store.Relist(t.Context())
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, 100, h.listed("Third name"))

	// The process dies, and another one continues.
	other := repository.New(h.Pool, repository.Options{Clock: h.clock})
	defer other.Close()
	require.Equal(t, 2, h.relist(other))
	require.Equal(t, 250, h.listed("Third name"))

	h.handle(second, nil) // late
	h.handle(third, nil)  // again
	require.Zero(t, h.relist(h.store))

	// The next event arrives while the listings are being refreshed.
	h.handle(fourth, nil)
	_, err = h.store.Relist(t.Context())
	require.NoError(t, err)
	fifth := updated(5, "Fifth name")
	h.handle(fifth, nil)
	h.handle(fourth, nil)
	// This one changes no listing.
	h.handle(
		h.shopEvent("evt.shop.verified", shop, 6, &shopv1.ShopVerified{ShopId: shop, Handle: "s", Name: "Fifth name"}),
		nil,
	)
	require.Equal(t, 3, h.relist(h.store))
	require.Equal(t, 250, h.listed("Fifth name"))
}

// A shop with a listing that cannot be refreshed does not delay other shops, and is retried.
func TestEventWhoseVersionJumpsChangesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	h.many(shop, 1)
	change := func(version int64) error {
		return postgres.InTx(t.Context(), h.Pool, func(tx pgx.Tx) error {
			return handler.OnShop(h.store)(t.Context(), tx, h.shopUpdated(shop, "Shop", "suspended", version))
		})
	}
	for _, version := range []int64{1<<62 - 2, 1<<63 - 2, 20_000} {
		require.True(t, errs.Is(change(version), errs.Invalid), version)
	}
	status := func() string {
		return moduletest.Value[string](h.Service, `select status from shop_ref where shop_id = $1`, shop)
	}
	require.Equal(t, "active", status())
	require.NoError(t, change(7))
	require.Equal(t, "suspended", status())
}

func TestShopWithABrokenListingDelaysNoOtherShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	broken, _ := h.shop("broken")
	h.many(broken, 1)
	whole, _ := h.shop("whole")
	h.many(whole, 1)
	h.Stop()
	images := func(value string) {
		_, err := h.Pool.Exec(t.Context(), `update product set images = $2 where shop_id = $1`, broken, value)
		require.NoError(t, err)
	}
	images(`"none"`)
	for _, shopID := range []string{broken, whole} {
		h.clock.Advance(time.Second)
		h.handle(h.shopUpdated(shopID, "New "+shopID, "active", 2), nil)
	}

	more, err := h.store.Relist(t.Context())
	require.ErrorContains(t, err, broken)
	require.True(t, more)
	require.Equal(t, 1, h.relist(h.store))
	require.Equal(t, 1, h.listed("New "+whole))

	images(`[]`)
	require.Zero(t, h.relist(h.store), "it is retried only after a backoff")
	h.clock.Advance(time.Minute)
	require.Equal(t, 1, h.relist(h.store))
	require.Equal(t, 1, h.listed("New "+broken))
}

// A copy from a call to the shop service may be older than the events that have arrived since.
func TestShopLookupDoesNotUndoAnUpdate(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	h.handle(
		h.shopEvent("evt.shop.suspended", shop, 2, &shopv1.ShopSuspended{ShopId: shop, Handle: "s", Name: "Shop s"}),
		nil,
	)
	later := h.clock.Now().Add(time.Hour)
	require.NoError(
		t,
		h.store.SaveShop(t.Context(),
			domain.Shop{ID: shop, Handle: "s", Name: "Shop s", Status: "active", UpdatedAt: later}),
	)
	shops, err := h.store.Shops(t.Context(), []string{shop}, nil)
	require.NoError(t, err)
	require.Equal(t, "suspended", shops[0].Status)
}

// A sale that sells out a product writes its listing. It waits only for the few listings that are being
// refreshed, not for all listings of the shop.
func TestReserveDoesNotWaitForAllListingsOfAShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	variants := h.many(shop, 250)
	last, err := h.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = last.Rollback(context.Background()) }()
	_, err = last.Exec(t.Context(), `select from listing order by product_id desc limit 1 for update`)
	require.NoError(t, err)

	h.Deliver("shop", h.shopUpdated(shop, "Renamed", "active", 2))
	h.waitForLocks(1)
	require.NoError(t, h.reserve(id.New(id.Order), line(variants[0], 1)))
	require.NoError(t, last.Rollback(t.Context()))
	h.waitForListings()
	require.Equal(t, 250, h.listed("Renamed"))
}

// A product that was being written while its shop changed shows the shop as it is now.
func TestProductWrittenWhileItsShopChangesShowsTheNewShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	h.many(shop, 1)
	// A seller's transaction has read the shop and has not committed.
	seller, err := h.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = seller.Rollback(context.Background()) }()
	for _, statement := range []string{
		`select pg_advisory_xact_lock(hashtextextended('` + shop + `', 1))`,
		`insert into product (id, shop_id, handle, title, description, images, tags, status, version, created_at,
				updated_at)
			select 'prd_zzz', shop_id, 'zzz', 'Z', '', '[]', '{}', 'active', 1, now(), now() from shop_ref`,
		`insert into listing (product_id, shop_id, visible, category_ids, currency, price, in_stock, created_at, title,
				terms, doc)
			select 'prd_zzz', shop_id, true, '{}', '', 0, false, now(), 'Z', '', convert_to(name, 'UTF8')
			from shop_ref`,
	} {
		_, err = seller.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	h.Deliver("shop", h.shopUpdated(shop, "Renamed", "active", 2))
	h.waitForLocks(1)
	require.NoError(t, seller.Commit(t.Context()))
	h.waitForListings()
	require.Equal(t, 2, h.listed("Renamed"))
}

// waitForLocks waits until at least n transactions of the test's database wait for a lock.
func (h *harness) waitForLocks(n int) {
	h.t.Helper()
	const sql = `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
	waittest.Until(h.t, func() bool { return moduletest.Value[int](h.Service, sql) >= n }, "nothing waits for a lock")
}

// An unverified shop sells if the setting says so, and as soon as an operator has verified it.
func TestUnverifiedShopSellsOnlyIfASettingSaysSo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, member := h.shop("s")
	h.shops.setStatus("s", "unverified")
	variant := h.many(shop, 1)[0]
	sells := func() (found int, forSale bool, reserved error) {
		t.Helper()
		res, err := h.client.SearchProducts(h.asVisitor(), &productv1.SearchProductsRequest{ShopId: shop})
		require.NoError(t, err)
		offers, err := h.order.BatchGetVariants(
			t.Context(),
			&productv1.BatchGetVariantsRequest{VariantIds: []string{variant}},
		)
		require.NoError(t, err)
		order := id.New(id.Order)
		_, reserved = h.order.ReserveInventory(t.Context(), &productv1.ReserveInventoryRequest{
			OrderId: order, Lines: []*productv1.Line{{VariantId: variant, Quantity: 1}},
		})
		_, err = h.order.ReleaseInventory(t.Context(), &productv1.ReleaseInventoryRequest{OrderId: order})
		require.NoError(t, err)
		return len(res.GetProducts()), offers.GetOffers()[0].GetForSale(), reserved
	}
	found, forSale, reserved := sells()
	require.Zero(t, found)
	require.False(t, forSale)
	require.True(t, errs.Is(reserved, errs.OutOfStock), reserved)
	own, err := h.client.ListShopProducts(h.AsUser(member), &productv1.ListShopProductsRequest{ShopId: shop})
	require.NoError(t, err)
	require.Len(t, own.GetProducts(), 1, "the shop prepares its products")

	for _, allowed := range []bool{true, false} { // a process starts with another setting
		h.Another(moduletest.Config(map[string]any{"unverified_shops_sell": allowed}))
		const sql = `select count(*) = 1 from listing where visible = $1`
		waittest.Until(
			t,
			func() bool { return moduletest.Value[bool](h.Service, sql, allowed) },
			"the setting has no effect",
		)
		found, forSale, reserved = sells()
		require.Equal(t, allowed, found == 1)
		require.Equal(t, allowed, forSale)
		require.Equal(t, allowed, reserved == nil, reserved)
	}
	for _, allowed := range []bool{true, false} { // an operator changes it
		h.Set("product.unverified_shops_sell", allowed)
		const sql = `select count(*) = 1 from listing where visible = $1`
		waittest.Until(
			t,
			func() bool { return moduletest.Value[bool](h.Service, sql, allowed) },
			"the setting has no effect",
		)
		_, forSale, reserved = sells()
		require.Equal(t, allowed, forSale)
		require.Equal(t, allowed, reserved == nil, reserved)
	}

	h.shopUpdate(shop, "Shop s", "active", 2)
	found, forSale, reserved = sells()
	require.Equal(t, 1, found)
	require.True(t, forSale)
	require.NoError(t, reserved)
}

// A shop that sold unverified before there was the setting keeps selling.
func TestShopThatSoldUnverifiedKeepsSelling(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, _ := h.shop("s")
	h.shops.setStatus("s", "unverified")
	h.many(shop, 1)
	_, err := h.Pool.Exec(t.Context(), `update shop_ref set sold_unverified = true`) // as the migration does
	require.NoError(t, err)
	h.shopUpdate(shop, "Renamed", "unverified", 2)
	require.Equal(t, 1, moduletest.Value[int](h.Service, `select count(*) from listing where visible`))
}

// Members of a suspended shop see its products and change none, in any way.
func TestMembersOfASuspendedShopChangeNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop, member := h.shop("s")
	variant := h.many(shop, 1)[0]
	product := moduletest.Value[string](h.Service, `select id from product`)
	h.shops.setStatus("s", "suspended")
	ctx, title := h.AsUser(member), "Other"
	for name, change := range map[string]func() error{
		"create": func() error {
			_, err := h.client.CreateProduct(ctx, &productv1.CreateProductRequest{
				ShopId: shop, Title: "New", Variants: []*productv1.VariantInput{{Sku: "new", Price: brl("1.00")}},
			})
			return err
		},
		"update": func() error {
			_, err := h.client.UpdateProduct(ctx, &productv1.UpdateProductRequest{Id: product, Title: &title})
			return err
		},
		"delete": func() error {
			_, err := h.client.DeleteProduct(ctx, &productv1.DeleteProductRequest{Id: product})
			return err
		},
		"stock": func() error {
			_, err := h.client.SetStock(ctx, &productv1.SetStockRequest{VariantId: variant, OnHand: pieces(9)})
			return err
		},
	} {
		require.True(t, errs.Is(change(), errs.Forbidden), name)
	}
	res, err := h.client.ImportProducts(ctx, &productv1.ImportProductsRequest{
		Products: []*productv1.ImportedProduct{simple("s", "new", "New", 1)},
	})
	require.NoError(t, err)
	require.Contains(t, res.GetResults()[0].GetReason(), "the shop is suspended")
	own, err := h.client.ListShopProducts(ctx, &productv1.ListShopProductsRequest{ShopId: shop})
	require.NoError(t, err)
	require.Len(t, own.GetProducts(), 1)
	_, err = h.client.UpdateProduct(h.asOperator(), &productv1.UpdateProductRequest{Id: product, Title: &title})
	require.NoError(t, err, "operators may")
}
