package tests

import (
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/cart"
	"souk/apps/cart/internal/handler"
	"souk/apps/cart/internal/repository"
	"souk/apps/cart/internal/service"
	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/cache"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/migration"
	"souk/pkg/money"
	"souk/pkg/pgtest"
	"souk/pkg/redistest"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalogue is the product service.
type catalogue struct {
	mu     sync.Mutex
	offers map[string]*productv1.Offer
	calls  int
	err    error
}

// BatchGetVariants answers as the product service does.
func (c *catalogue) BatchGetVariants(_ context.Context, r *productv1.BatchGetVariantsRequest, _ ...grpc.CallOption) (*productv1.BatchGetVariantsResponse, error) {
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
		VariantId: id.New(id.Variant), ProductId: id.New(id.Product), ShopId: "shp_1", ShopName: "Aurora", Title: "Chá <b>verde</b> 🍵",
		Sku: "T-1", Options: map[string]string{"Size": "M"}, Price: price.Proto(), ImageUrl: "https://example.com/1.jpg", Available: pieces, ForSale: true,
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

type kit struct {
	catalogue *catalogue
	pool      *pgxpool.Pool
	redis     rueidis.Client
	prefix    string
	clock     *clock.Manual
	carts     *repository.Store
	svc       *service.Service
	client    cartv1.CartServiceClient
	signers   map[string]*identity.Signer
}

func brl(minor int64) money.Money { return money.New(minor, "BRL") }

func setup(t testing.TB) *kit {
	t.Helper()
	return setupOn(t, redistest.Client(t), clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), 0)
}

func setupOn(t testing.TB, redis rueidis.Client, c clock.Clock, ttl time.Duration) *kit {
	t.Helper()
	k := &kit{
		catalogue: &catalogue{offers: map[string]*productv1.Offer{}}, redis: redis, prefix: redistest.Key(t, "") + ":",
		pool: pgtest.New(t, migration.Set{Name: "cart", FS: cart.Module.Migrations}),
	}
	k.clock, _ = c.(*clock.Manual)
	var err error
	k.carts, err = repository.Open(redis, k.pool, repository.Options{
		Clock: c, Due: 2 * time.Second, GuestTTL: 30 * 24 * time.Hour, UserTTL: 180 * 24 * time.Hour, Prefix: k.prefix,
	})
	require.NoError(t, err)
	offers := repository.OpenOffers(redis, k.catalogue, c, ttl)
	t.Cleanup(offers.Close)
	k.svc = service.New(k.carts, offers, "BRL", zap.NewNop())
	k.serve(t)
	return k
}

// serve puts the service behind its contract.
func (k *kit) serve(t testing.TB) {
	t.Helper()
	seed := []byte("a seed of thirty-two bytes, or so")
	keys := map[string]ed25519.PublicKey{}
	k.signers = map[string]*identity.Signer{}
	for _, name := range []string{"gateway", "order", "auth", "shop"} {
		key := identity.DeriveKey(seed, name)
		keys[name] = key.Public().(ed25519.PublicKey)
		k.signers[name] = identity.NewSigner(name, key, time.Minute, clock.System{})
	}
	server := rpc.NewServer(rpc.ServerOptions{Service: "cart", Verifier: identity.NewVerifier(keys, clock.System{})})
	cartv1.RegisterCartServiceServer(server, &handler.RPC{Service: k.svc})
	require.NoError(t, server.Err())
	conn := rpc.NewLocal()
	stop, err := conn.Serve(t.Context(), server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = stop(context.Background()) })
	k.client = cartv1.NewCartServiceClient(rpc.NewClient(conn, rpc.ClientOptions{Service: "test"}))
}

func (k *kit) token(t testing.TB, issuer string, a identity.Actor) context.Context {
	t.Helper()
	tok, _, err := k.signers[issuer].Sign(a)
	require.NoError(t, err)
	return identity.WithToken(context.Background(), tok)
}

func (k *kit) user(t testing.TB) (context.Context, string) {
	t.Helper()
	uid := id.New(id.User)
	return k.token(t, "gateway", identity.Actor{Kind: identity.KindUser, ID: uid}), uid
}

func (k *kit) guest(t testing.TB) (context.Context, string) {
	t.Helper()
	gid := id.New(id.Guest)
	return k.token(t, "gateway", identity.Actor{Kind: identity.KindGuest, ID: gid}), gid
}

func (k *kit) service(t testing.TB, name string) context.Context {
	t.Helper()
	return k.token(t, name, identity.Service(name))
}

func (k *kit) add(t testing.TB, ctx context.Context, variantID string, n int64) *cartv1.Cart {
	t.Helper()
	res, err := k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: variantID, Quantity: n})
	require.NoError(t, err)
	return res.GetCart()
}

func (k *kit) get(t testing.TB, ctx context.Context) *cartv1.Cart {
	t.Helper()
	res, err := k.client.GetCart(ctx, &cartv1.GetCartRequest{})
	require.NoError(t, err)
	return res.GetCart()
}

// quantities are a cart's, by variant.
func quantities(c *cartv1.Cart) map[string]int64 {
	out := map[string]int64{}
	for _, it := range c.GetItems() {
		out[it.GetVariantId()] = it.GetQuantity()
	}
	return out
}

// lose deletes an owner's keys, as a lost Redis would.
func (k *kit) lose(t testing.TB, owner string) {
	t.Helper()
	keys := []string{k.prefix + "cart:" + owner, k.prefix + "cart:" + owner + ":orders"}
	require.NoError(t, k.redis.Do(t.Context(), k.redis.B().Del().Key(keys...).Build()).Error())
}

// bump tells that a product changed.
func (k *kit) bump(t testing.TB, productID string) {
	t.Helper()
	require.NoError(t, cache.Bump(t.Context(), k.redis, cache.Tag("product", productID)))
}

func code(t testing.TB, want errs.Code, err error) {
	t.Helper()
	require.Equal(t, want, errs.CodeOf(err), "%v", err)
}
