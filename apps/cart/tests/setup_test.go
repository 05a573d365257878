package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"souk/apps/cart"
	"souk/apps/cart/internal/repository"
	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/cache"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// catalogue fakes the product service.
type catalogue struct {
	productv1.UnimplementedProductServiceServer
	mu     sync.Mutex
	offers map[string]*productv1.Offer
	calls  int
	err    error
}

// BatchGetVariants leaves unknown variants out of the answer.
func (c *catalogue) BatchGetVariants(
	_ context.Context, r *productv1.BatchGetVariantsRequest,
) (*productv1.BatchGetVariantsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.err != nil {
		return nil, c.err
	}
	out := &productv1.BatchGetVariantsResponse{}
	for _, v := range r.GetVariantIds() {
		if o := c.offers[v]; o != nil {
			out.Offers = append(out.Offers, o)
		}
	}
	return out, nil
}

func (c *catalogue) sell(price money.Money, pieces int64) string {
	o := &productv1.Offer{
		VariantId: id.New(id.Variant), ProductId: id.New(id.Product), ShopId: "shp_1", ShopName: "Aurora",
		Title: "Chá <b>verde</b> 🍵", Sku: "T-1", Options: map[string]string{"Size": "M"}, Price: price.ToProto(),
		ImageUrl: "https://example.com/1.jpg", Available: pieces, ForSale: true,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers[o.GetVariantId()] = o
	return o.GetVariantId()
}

// change replaces an offer; nil removes it.
func (c *catalogue) change(variantID string, f func(old *productv1.Offer) *productv1.Offer) (productID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.offers[variantID]
	c.offers[variantID] = f(old)
	return old.GetProductId()
}

// harness is the cart service on its own Redis, and clients of it as other services.
type harness struct {
	*moduletest.Service
	catalogue           *catalogue
	redis               rueidis.Client
	clock               *clock.Manual
	carts               *repository.Store // as another process of the service
	client, order, auth cartv1.CartServiceClient
}

func brl(minor int64) money.Money { return money.New(minor, "BRL") }

// setup starts the service. Its clock stands still, and it keeps no offers in memory.
func setup(t testing.TB, opts ...moduletest.Option) *harness {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	h := setupOn(t, redistest.Private(t).Config(), c, opts...)
	h.clock = c
	return h
}

func setupOn(t testing.TB, redis redisx.Config, c clock.Clock, opts ...moduletest.Option) *harness {
	t.Helper()
	h := &harness{catalogue: &catalogue{offers: map[string]*productv1.Offer{}}, redis: redistest.Open(t, redis)}
	h.Service = moduletest.Start(t, cart.Module, append([]moduletest.Option{
		moduletest.Redis(redis), moduletest.Clock(c), moduletest.Config(map[string]any{"offer_ttl": "0s"}),
		moduletest.Fake("product", func(r grpc.ServiceRegistrar) {
			productv1.RegisterProductServiceServer(r, h.catalogue)
		}),
	}, opts...)...)
	client := func(name string) cartv1.CartServiceClient { return cartv1.NewCartServiceClient(h.Client(name)) }
	h.client, h.order, h.auth = client("gateway"), client("order"), client("auth")
	d := cart.Default()
	var err error
	h.carts, err = repository.New(h.redis, h.Pool, repository.Options{
		Clock: c, Due: d.WriteBack, GuestTTL: d.GuestTTL, UserTTL: d.UserTTL,
	})
	require.NoError(t, err)
	return h
}

func (h *harness) user() (context.Context, string) {
	uid := id.New(id.User)
	return h.AsUser(uid), uid
}

func (h *harness) guest() (context.Context, string) {
	gid := id.New(id.Guest)
	return h.As(identity.Actor{Kind: identity.KindGuest, ID: gid}), gid
}

func (h *harness) add(t testing.TB, ctx context.Context, variantID string, n int64) *cartv1.Cart {
	t.Helper()
	res, err := h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: variantID, Quantity: n})
	require.NoError(t, err)
	return res.GetCart()
}

func (h *harness) get(t testing.TB, ctx context.Context) *cartv1.Cart {
	t.Helper()
	res, err := h.client.GetCart(ctx, &cartv1.GetCartRequest{})
	require.NoError(t, err)
	return res.GetCart()
}

// quantities returns a cart's quantities by variant.
func quantities(c *cartv1.Cart) map[string]int64 {
	out := map[string]int64{}
	for _, it := range c.GetItems() {
		out[it.GetVariantId()] = it.GetQuantity()
	}
	return out
}

// keys returns the keys that match a pattern.
func (h *harness) keys(t testing.TB, pattern string) (out []string) {
	t.Helper()
	for _, node := range h.redis.Nodes() {
		found, err := node.Do(t.Context(), node.B().Keys().Pattern(pattern).Build()).AsStrSlice()
		require.NoError(t, err)
		out = append(out, found...)
	}
	return out
}

// lose deletes an owner's keys, as a lost Redis would.
func (h *harness) lose(t testing.TB, owner string) {
	t.Helper()
	for _, key := range h.keys(t, "cart:*"+owner+"*") {
		require.NoError(t, h.redis.Do(t.Context(), h.redis.B().Del().Key(key).Build()).Error())
	}
}

// bump increments the version of a product's tag, as the product service does after a change.
func (h *harness) bump(t testing.TB, productID string) {
	t.Helper()
	require.NoError(t, cache.Bump(t.Context(), h.redis, cache.Tag("product", productID)))
}

func code(t testing.TB, want errs.Code, err error) {
	t.Helper()
	require.Equal(t, want, errs.CodeOf(err), "%v", err)
}
