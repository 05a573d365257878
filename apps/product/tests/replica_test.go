package tests

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/product"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/moduletest"
	"souk/pkg/pgtest"
	"souk/pkg/waittest"
)

// staleness is how old the replica's answers may be in these tests.
const staleness = 5 * time.Second

// setupReplica starts the service with a replica and a cache, and waits until the public's reads come from the replica.
func setupReplica(t *testing.T) (*harness, *pgtest.Replicated) {
	t.Helper()
	r := pgtest.NewReplicated(t, product.Module.Sets()...)
	h := setup(t, append(cached(t), moduletest.Postgres(r.Primary, r.Replica, staleness))...)
	h.replicaServes()
	return h, r
}

func (h *harness) replicaServes() {
	h.t.Helper()
	waittest.Until(h.t, func() bool {
		before := h.Metric(`postgres_replica_read_total{service="product",source="replica"}`)
		h.search(&productv1.SearchProductsRequest{Query: time.Now().String()}) // one that is not cached
		return h.Metric(`postgres_replica_read_total{service="product",source="replica"}`) > before
	}, "no search is served by the replica")
}

// titles returns the titles of the products that the public finds. The list is not one from the service's cache, in
// which time stands still.
func (h *harness) titles() []string {
	h.t.Helper()
	h.lists++
	var all []string
	another := &productv1.SearchProductsRequest{MaxPrice: strconv.Itoa(1000 + h.lists), CurrencyCode: "BRL"}
	for _, p := range h.search(another).GetProducts() {
		all = append(all, p.GetTitle())
	}
	return all
}

func TestConnectionsAndStatementsOfTheReplicaAreMeasured(t *testing.T) {
	t.Parallel()
	h, _ := setupReplica(t)
	const replica = `{server="replica",service="product"}`
	require.Positive(t, h.Metric(`postgres_connections_open`+replica))
	require.Positive(t, h.Metric(`postgres_connections_max`+replica))
	before := h.Metric(`postgres_query_duration_seconds_count` + replica)
	h.replicaServes()
	require.Greater(t, h.Metric(`postgres_query_duration_seconds_count`+replica), before)
	require.Positive(t, h.Metric(`postgres_connections_open{server="primary",service="product"}`))
}

func TestReplicaThatIsBehindHidesNoChangeForLongerThanTheBound(t *testing.T) {
	t.Parallel()
	h, r := setupReplica(t)
	shopID, member := h.shop("s")
	created, err := h.client.CreateProduct(h.AsUser(member), newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err)
	productID := created.GetProduct().GetId()
	waittest.Until(t, func() bool { return len(h.titles()) == 1 }, "the product is not found")
	require.Equal(t, "Blue Lamp", h.get(productID).GetTitle())

	r.OnReplica(`select pg_wal_replay_pause()`)
	h.rename(member, productID, "Green Lamp")
	require.Equal(t, "Green Lamp", h.get(productID).GetTitle(), "the page of a product that was just changed is new")
	sellers, err := h.client.ListShopProducts(h.AsUser(member), &productv1.ListShopProductsRequest{ShopId: shopID})
	require.NoError(t, err)
	require.Equal(t, "Green Lamp", sellers.GetProducts()[0].GetProduct().GetTitle(), "a seller reads from the primary")
	require.Equal(t, []string{"Blue Lamp"}, h.titles(), "a list may be out of date")

	second, err := h.client.CreateProduct(h.AsUser(member), newProduct(shopID, "Red Chair"))
	require.NoError(t, err)
	byHandle := &productv1.GetProductByHandleRequest{Shop: "s", Handle: second.GetProduct().GetHandle()}
	_, err = h.client.GetProductByHandle(h.asVisitor(), byHandle)
	require.NoError(t, err, "a product that the replica does not have yet has a page")

	waittest.Until(t, func() bool { return slices.Contains(h.titles(), "Green Lamp") },
		"a list stays out of date for longer than the bound")
	require.Equal(t, "Green Lamp", h.get(productID).GetTitle())

	r.OnReplica(`select pg_wal_replay_resume()`)
	h.replicaServes()
	h.rename(member, productID, "White Lamp")
	require.Equal(t, "White Lamp", h.get(productID).GetTitle())
}

func (h *harness) rename(member, productID, title string) {
	h.t.Helper()
	out, err := h.client.UpdateProduct(h.AsUser(member), &productv1.UpdateProductRequest{Id: productID, Title: &title})
	require.NoError(h.t, err)
	require.Equal(h.t, title, out.GetProduct().GetTitle())
}

func TestCatalogueIsReadFromPrimaryAfterReplicaStopped(t *testing.T) {
	t.Parallel()
	h, r := setupReplica(t)
	shop, _ := h.shop("s")
	productID := h.add(simple(shop, "p", "Lamp", 1))[0]
	r.StopReplica()
	for size := range int32(40) { // each is another list
		found := h.search(&productv1.SearchProductsRequest{Query: "lamp", Facets: true, PageSize: size + 1})
		require.Equal(t, []string{"p"}, handles(found))
	}
	require.Equal(t, "Lamp", h.get(productID).GetTitle())
	h.Another() // a service whose replica is down becomes ready
}

func TestServiceGoesOnWithPromotedReplica(t *testing.T) {
	t.Parallel()
	h, r := setupReplica(t)
	shopID, member := h.shop("s")
	created, err := h.client.CreateProduct(h.AsUser(member), newProduct(shopID, "Blue Lamp"))
	require.NoError(t, err)
	h.Stop()
	r.StopPrimary() // which sends the replica all of its log first
	r.OnReplica(`select pg_promote()`)

	h.Service = h.Another(moduletest.Postgres(r.Replica, "", staleness))
	h.client = productv1.NewProductServiceClient(h.Client("gateway"))
	productID := created.GetProduct().GetId()
	require.Equal(t, "Blue Lamp", h.get(productID).GetTitle())
	h.rename(member, productID, "Green Lamp")
	require.Equal(t, []string{"Green Lamp"}, h.titles())
}
