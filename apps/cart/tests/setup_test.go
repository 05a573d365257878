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

// timeout bounds each wait of a test.
const timeout = 20 * time.Second

// catalogue is a fake of the product service.
type catalogue struct {
	mu     sync.Mutex
	offers map[string]*productv1.Offer
	calls  int
	err    error
}

// BatchGetVariants implements repository.Products. Unknown variants are missing in the answer.
func (c *catalogue) BatchGetVariants(
	_ context.Context,
	r *productv1.BatchGetVariantsRequest,
	_ ...grpc.CallOption,
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
		VariantId: id.New(
			id.Variant,
		),
		ProductId: id.New(id.Product),
		ShopId:    "shp_1",
		ShopName:  "Aurora",
		Title:     "Chá <b>verde</b> 🍵",
		Sku:       "T-1",
		Options:   map[string]string{"Size": "M"},
		Price:     price.Proto(),
		ImageUrl:  "https://example.com/1.jpg",
		Available: pieces,
		ForSale:   true,
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

type harness struct {
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

func setup(t testing.TB) *harness {
	t.Helper()
	return setupOn(t, redistest.Client(t), clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), 0)
}

func setupOn(t testing.TB, redis rueidis.Client, c clock.Clock, ttl time.Duration) *harness {
	t.Helper()
	h := &harness{
		catalogue: &catalogue{offers: map[string]*productv1.Offer{}}, redis: redis, prefix: redistest.Key(t, "") + ":",
		pool: pgtest.New(t, migration.Set{Name: "cart", FS: cart.Module.Migrations}),
	}
	h.clock, _ = c.(*clock.Manual)
	var err error
	h.carts, err = repository.Open(redis, h.pool, repository.Options{
		Clock: c, Due: 2 * time.Second, GuestTTL: 30 * 24 * time.Hour, UserTTL: 180 * 24 * time.Hour, Prefix: h.prefix,
	})
	require.NoError(t, err)
	offers := repository.OpenOffers(redis, h.catalogue, c, ttl)
	t.Cleanup(offers.Close)
	h.svc = service.New(h.carts, offers, "BRL", zap.NewNop())
	h.serve(t)
	return h
}

// serve serves the contract in process.
func (h *harness) serve(t testing.TB) {
	t.Helper()
	seed := []byte("a seed of thirty-two bytes, or so")
	keys := map[string]ed25519.PublicKey{}
	h.signers = map[string]*identity.Signer{}
	for _, name := range []string{"gateway", "order", "auth", "shop"} {
		key := identity.DeriveKey(seed, name)
		keys[name] = key.Public().(ed25519.PublicKey)
		h.signers[name] = identity.NewSigner(name, key, time.Minute, clock.System{})
	}
	server := rpc.NewServer(rpc.ServerOptions{Service: "cart", Verifier: identity.NewVerifier(keys, clock.System{})})
	cartv1.RegisterCartServiceServer(server, &handler.RPC{Service: h.svc})
	require.NoError(t, server.Err())
	conn := rpc.NewLocal()
	stop, err := conn.Serve(t.Context(), server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = stop(context.Background()) })
	h.client = cartv1.NewCartServiceClient(rpc.NewClient(conn, rpc.ClientOptions{Service: "test"}))
}

func (h *harness) token(t testing.TB, issuer string, a identity.Actor) context.Context {
	t.Helper()
	tok, _, err := h.signers[issuer].Sign(a)
	require.NoError(t, err)
	return identity.WithToken(context.Background(), tok)
}

func (h *harness) user(t testing.TB) (context.Context, string) {
	t.Helper()
	uid := id.New(id.User)
	return h.token(t, "gateway", identity.Actor{Kind: identity.KindUser, ID: uid}), uid
}

func (h *harness) guest(t testing.TB) (context.Context, string) {
	t.Helper()
	gid := id.New(id.Guest)
	return h.token(t, "gateway", identity.Actor{Kind: identity.KindGuest, ID: gid}), gid
}

func (h *harness) service(t testing.TB, name string) context.Context {
	t.Helper()
	return h.token(t, name, identity.Service(name))
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

// lose deletes an owner's keys, as a lost Redis would.
func (h *harness) lose(t testing.TB, owner string) {
	t.Helper()
	keys := []string{h.prefix + "cart:" + owner, h.prefix + "cart:" + owner + ":orders"}
	require.NoError(t, h.redis.Do(t.Context(), h.redis.B().Del().Key(keys...).Build()).Error())
}

// bump increments the version of a product's tag, as the product service does after a change.
func (h *harness) bump(t testing.TB, productID string) {
	t.Helper()
	require.NoError(t, cache.Bump(t.Context(), h.redis, cache.Tag("product", productID)))
}

// receive returns the next value of ch. It fails the test after the timeout.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(timeout):
		t.Fatal("timeout while waiting for a channel")
		panic("unreachable")
	}
}

func code(t testing.TB, want errs.Code, err error) {
	t.Helper()
	require.Equal(t, want, errs.CodeOf(err), "%v", err)
}
