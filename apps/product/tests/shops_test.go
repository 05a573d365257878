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
	"souk/pkg/postgres"
)

// shopNews has the service take in what became of a shop, and all that follows from it.
func (b *bundle) shopNews(shop domain.Shop) {
	b.t.Helper()
	ctx := context.Background()
	require.NoError(b.t, postgres.InTx(ctx, b.pool, func(tx pgx.Tx) error { return b.store.ShopChanged(ctx, tx, shop) }))
	b.relist(b.store)
}

func (b *bundle) relist(store *repository.Store) (chunks int) {
	b.t.Helper()
	for ; ; chunks++ {
		more, err := store.Relist(context.Background())
		require.NoError(b.t, err)
		if !more {
			return chunks
		}
	}
}

func (b *bundle) shopEvent(subject, shopID string, version int64, m proto.Message) event.Event {
	b.t.Helper()
	e, err := event.New(context.Background(), subject, shopID, version, b.clock.Now(), m)
	require.NoError(b.t, err)
	return e
}

// hear hands an event to the consumer's handler, in a transaction that ends as the test says.
func (b *bundle) hear(e event.Event, end error) {
	b.t.Helper()
	ctx := context.Background()
	err := postgres.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		if err := handler.OnShop(b.store)(ctx, tx, e); err != nil {
			return err
		}
		return end
	})
	require.ErrorIs(b.t, err, end)
}

func (b *bundle) listed(shopName string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(context.Background(),
		`select count(*) from listing l where position(convert_to($1, 'UTF8') in l.doc) > 0`, shopName).Scan(&n))
	return n
}

// many adds products of one piece each to a shop, and returns their variants in the order of the products' IDs.
func (b *bundle) many(shop string, n int) (variants []string) {
	b.t.Helper()
	var in []*productv1.ImportedProduct
	for i := range n {
		in = append(in, simple(shop, fmt.Sprint("p", i), fmt.Sprint("Lamp ", i), 1))
	}
	for chunk := range slices.Chunk(in, 200) {
		b.add(chunk...)
	}
	rows, err := b.pool.Query(context.Background(), `select id from variant where shop_id = $1 order by product_id`, shop)
	require.NoError(b.t, err)
	variants, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b.t, err)
	return variants
}

var errRolledBack = errors.New("the consumer could not commit")

// The effect of an event is in the consumer's transaction: it is there with the inbox row, or not at all.
func TestShopNewsIsPartOfTheConsumersTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	variantID := b.many(shop, 1)[0]
	suspended := b.shopEvent("evt.shop.suspended", shop, 2, &shopv1.ShopSuspended{ShopId: shop, Handle: "s", Name: "Shop s"})

	b.hear(suspended, errRolledBack)
	require.Zero(t, b.relist(b.store))
	require.NoError(t, b.reserve(id.New(id.Order), line(variantID, 1)))

	b.hear(suspended, nil)
	require.Equal(t, errs.OutOfStock, errs.CodeOf(b.reserve(id.New(id.Order), line(variantID, 1))))
	require.Equal(t, 1, b.relist(b.store))
	out, err := b.visitor.SearchProducts(b.asAnybody(), &productv1.SearchProductsRequest{})
	require.NoError(t, err)
	require.Empty(t, out.GetProducts())
}

// Events that come twice, late and in any order, with a crash in between, end with what the newest says.
func TestShopNewsConverges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	b.many(shop, 250)
	updated := func(version int64, name string) event.Event {
		return b.shopEvent("evt.shop.updated", shop, version, &shopv1.ShopUpdated{ShopId: shop, Handle: "s", Name: name, Status: "active"})
	}
	second, third, fourth := updated(2, "Second name"), updated(3, "Third name"), updated(4, "Fourth name")

	b.hear(third, nil)
	more, err := b.store.Relist(t.Context())
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, 100, b.listed("Third name"))

	// The process dies, and another goes on where it was.
	other := repository.New(b.pool, repository.Options{Clock: b.clock})
	defer other.Close()
	require.Equal(t, 2, b.relist(other))
	require.Equal(t, 250, b.listed("Third name"))

	b.hear(second, nil) // late
	b.hear(third, nil)  // again
	require.Zero(t, b.relist(b.store))

	// The next news comes while the listings are being made.
	b.hear(fourth, nil)
	_, err = b.store.Relist(t.Context())
	require.NoError(t, err)
	fifth := updated(5, "Fifth name")
	b.hear(fifth, nil)
	b.hear(fourth, nil)
	b.hear(b.shopEvent("evt.shop.verified", shop, 6, &shopv1.ShopVerified{ShopId: shop, Handle: "s", Name: "Fifth name"}), nil) // shows in no listing
	require.Equal(t, 3, b.relist(b.store))
	require.Equal(t, 250, b.listed("Fifth name"))
}

// A shop of which a listing cannot be made does not hold up those behind it, and is tried again.
func TestShopWhoseListingsCannotBeMadeIsPassedBy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken, _ := b.shop("broken")
	b.many(broken, 1)
	whole, _ := b.shop("whole")
	b.many(whole, 1)
	images := func(value string) {
		_, err := b.pool.Exec(t.Context(), `update product set images = $2 where shop_id = $1`, broken, value)
		require.NoError(t, err)
	}
	images(`"none"`)
	for _, shopID := range []string{broken, whole} {
		b.clock.Advance(time.Second)
		b.hear(b.shopEvent("evt.shop.updated", shopID, 2, &shopv1.ShopUpdated{ShopId: shopID, Handle: shopID, Name: "New " + shopID, Status: "active"}), nil)
	}

	more, err := b.store.Relist(t.Context())
	require.ErrorContains(t, err, broken)
	require.True(t, more)
	require.Equal(t, 1, b.relist(b.store))
	require.Equal(t, 1, b.listed("New "+whole))

	images(`[]`)
	require.Zero(t, b.relist(b.store), "it is left alone for a while")
	b.clock.Advance(time.Minute)
	require.Equal(t, 1, b.relist(b.store))
	require.Equal(t, 1, b.listed("New "+broken))
}

// What the shop service answered when it was asked is older than any event by then.
func TestShopThatWasAskedForDoesNotUndoNews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	b.hear(b.shopEvent("evt.shop.suspended", shop, 2, &shopv1.ShopSuspended{ShopId: shop, Handle: "s", Name: "Shop s"}), nil)
	later := b.clock.Now().Add(time.Hour)
	require.NoError(t, b.store.SaveShop(t.Context(), domain.Shop{ID: shop, Handle: "s", Name: "Shop s", Status: "active", UpdatedAt: later}))
	shops, err := b.store.Shops(t.Context(), []string{shop}, nil)
	require.NoError(t, err)
	require.Equal(t, "suspended", shops[0].Status)
}

// A sale that sells a product out writes its listing. It waits for the few listings that are being made anew, not
// for all of the shop's.
func TestReserveDoesNotWaitForAllListingsOfAShop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	variants := b.many(shop, 250)
	last, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = last.Rollback(context.Background()) }()
	_, err = last.Exec(t.Context(), `select from listing order by product_id desc limit 1 for update`)
	require.NoError(t, err)

	done := make(chan struct{})
	go func() {
		defer close(done)
		b.shopNews(domain.Shop{ID: shop, Handle: "s", Name: "Renamed", Status: "active", Version: 2})
	}()
	b.waiting(1)
	require.NoError(t, b.reserve(id.New(id.Order), line(variants[0], 1)))
	require.NoError(t, last.Rollback(t.Context()))
	<-done
	require.Equal(t, 250, b.listed("Renamed"))
}

// A product that was being written while its shop changed shows the shop as it is now.
func TestProductWrittenWhileItsShopChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, _ := b.shop("s")
	b.many(shop, 1)
	// A seller's transaction has read the shop, and is not yet committed.
	seller, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = seller.Rollback(context.Background()) }()
	for _, statement := range []string{
		`select pg_advisory_xact_lock(hashtextextended('` + shop + `', 1))`,
		`insert into product (id, shop_id, handle, title, description, images, tags, status, version, created_at, updated_at)
			select 'prd_zzz', shop_id, 'zzz', 'Z', '', '[]', '{}', 'active', 1, now(), now() from shop_ref`,
		`insert into listing (product_id, shop_id, visible, category_ids, currency, price, in_stock, created_at, title, terms, doc)
			select 'prd_zzz', shop_id, true, '{}', '', 0, false, now(), 'Z', '', convert_to(name, 'UTF8') from shop_ref`,
	} {
		_, err = seller.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.shopNews(domain.Shop{ID: shop, Handle: "s", Name: "Renamed", Status: "active", Version: 2})
	}()
	b.waiting(1)
	require.NoError(t, seller.Commit(t.Context()))
	<-done
	require.Equal(t, 2, b.listed("Renamed"))
}

// waiting waits until so many transactions of the test's database, at least, wait for a lock.
func (b *bundle) waiting(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var waiting int
		err := b.pool.QueryRow(context.Background(), `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting >= n
	}, time.Minute, 5*time.Millisecond)
}
