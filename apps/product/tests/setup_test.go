// Package tests holds the black-box tests of the product service. They call it through its contract, with a real
// database, a real Redis and a fake shop service.
package tests

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/product"
	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/repository"
	"souk/apps/product/internal/service"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/redistest"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedData is the directory of the real marketplace data. It may be missing.
var sharedData = filepath.Join("..", "..", "..", "..", "shared", "data")

// harness is a product service with its own database and a fake shop service.
type harness struct {
	t       testing.TB
	pool    *pgxpool.Pool
	store   *repository.Store
	clock   *clock.Manual
	shops   *shops
	gateway *identity.Signer
	local   *rpc.Local

	// clients of the order service, an operator, a visitor
	order, operator, visitor productv1.ProductServiceClient
}

type options struct {
	cached   bool
	lowStock int64
}

func setup(t testing.TB, opts ...func(*options)) *harness {
	t.Helper()
	o := options{lowStock: 5}
	for _, f := range opts {
		f(&o)
	}
	ctx := context.Background()
	h := &harness{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), shops: newShops()}
	h.pool = pgtest.New(t, outbox.Migrations(), migration.Set{Name: "product", FS: product.Migrations()})
	ro := repository.Options{Clock: h.clock, LowStock: o.lowStock}
	var lists *handler.Lists
	if o.cached {
		cache, err := repository.NewCache(redistest.Client(t), time.Minute, zap.NewNop(), nil)
		require.NoError(t, err)
		ro.Cache = cache
		lists = handler.NewLists(cache, 2*time.Second, h.clock)
	}
	h.store = repository.New(h.pool, ro)
	t.Cleanup(h.store.Close)

	seed := make([]byte, 32)
	keys := map[string]ed25519.PublicKey{}
	signer := func(service string) *identity.Signer {
		key := identity.DeriveKey(seed, service)
		keys[service] = key.Public().(ed25519.PublicKey)
		return identity.NewSigner(service, key, time.Hour, clock.System{})
	}
	h.gateway = signer("gateway")
	orders, self := signer("order"), signer("product")
	verifier := identity.NewVerifier(keys, clock.System{})
	h.local = rpc.NewLocal()

	shopServer := rpc.NewServer(rpc.ServerOptions{Service: "shop", Verifier: verifier})
	shopv1.RegisterShopServiceServer(shopServer, h.shops)
	productServer := rpc.NewServer(rpc.ServerOptions{Service: "product", Verifier: verifier, Limit: 2048})
	shopClient := shopv1.NewShopServiceClient(
		rpc.NewClient(h.local.Conn(), rpc.ClientOptions{Service: "product", Signer: self}),
	)
	productv1.RegisterProductServiceServer(
		productServer,
		handler.NewRPC(service.New(h.store, shopClient, 15*time.Minute), lists),
	)
	for _, server := range []*rpc.Server{shopServer, productServer} {
		require.NoError(t, server.Err())
		stop, err := h.local.Serve(ctx, server)
		require.NoError(t, err)
		t.Cleanup(func() { _ = stop(context.Background()) })
	}
	h.visitor = h.client("gateway", h.gateway)
	h.order = h.client("order", orders)
	h.operator = h.client("gateway", h.gateway)
	return h
}

func (h *harness) client(service string, signer *identity.Signer) productv1.ProductServiceClient {
	return productv1.NewProductServiceClient(
		rpc.NewClient(h.local.Conn(), rpc.ClientOptions{Service: service, Signer: signer}),
	)
}

// as returns a context for calls of the gateway on behalf of an actor.
func (h *harness) as(a identity.Actor) context.Context {
	h.t.Helper()
	token, _, err := h.gateway.Sign(a)
	require.NoError(h.t, err)
	return identity.WithToken(context.Background(), token)
}

func (h *harness) asUser(userID string) context.Context {
	return h.as(identity.Actor{Kind: identity.KindUser, ID: userID})
}

func (h *harness) asOperator() context.Context {
	return h.as(identity.Actor{Kind: identity.KindUser, ID: id.New(id.User), Roles: []string{identity.RoleOperator}})
}

func (h *harness) asVisitor() context.Context { return h.as(identity.Anonymous()) }

// shop adds a shop with one member.
func (h *harness) shop(handle string) (shopID, member string) {
	shopID, member = id.New(id.Shop), id.New(id.User)
	h.shops.mu.Lock()
	defer h.shops.mu.Unlock()
	h.shops.byHandle[handle] = &shopv1.Shop{
		Id:        shopID,
		Handle:    handle,
		Name:      "Shop " + handle,
		Status:    "active",
		UpdatedAt: timestamppb.New(h.clock.Now()),
	}
	h.shops.members[shopID+member] = true
	return shopID, member
}

// shops is a fake shop service.
type shops struct {
	shopv1.UnimplementedShopServiceServer
	mu       sync.Mutex
	byHandle map[string]*shopv1.Shop
	members  map[string]bool
}

func newShops() *shops {
	return &shops{byHandle: map[string]*shopv1.Shop{}, members: map[string]bool{}}
}

func (s *shops) CheckMembership(
	_ context.Context,
	in *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shopv1.CheckMembershipResponse{Member: s.members[in.GetShopId()+in.GetUserId()]}, nil
}

func (s *shops) BatchGetShops(
	_ context.Context,
	in *shopv1.BatchGetShopsRequest,
) (*shopv1.BatchGetShopsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &shopv1.BatchGetShopsResponse{}
	for _, handle := range in.GetHandles() {
		if shop := s.byHandle[handle]; shop != nil {
			out.Shops = append(out.Shops, shop)
		}
	}
	for _, shopID := range in.GetIds() {
		for _, shop := range s.byHandle {
			if shop.GetId() == shopID {
				out.Shops = append(out.Shops, shop)
			}
		}
	}
	return out, nil
}

func brl(amount string) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "BRL", Amount: amount} }

func pieces(n int64) *int64 { return &n }

// simple returns a product with one variant.
func simple(shop, handle, title string, onHand int64) *productv1.ImportedProduct {
	return &productv1.ImportedProduct{
		Shop: shop, Handle: handle, Title: title,
		Variants: []*productv1.VariantInput{{Sku: "sku-" + handle, Price: brl("10.00"), OnHand: pieces(onHand)}},
	}
}

// add imports products as an operator and returns their IDs.
func (h *harness) add(products ...*productv1.ImportedProduct) []string {
	h.t.Helper()
	out, err := h.operator.ImportProducts(h.asOperator(), &productv1.ImportProductsRequest{Products: products})
	require.NoError(h.t, err)
	ids := make([]string, len(products))
	for i, r := range out.GetResults() {
		require.Equal(h.t, "created", r.GetOutcome(), r.GetReason())
		ids[i] = r.GetProductId()
	}
	return ids
}

// variant adds a product and returns its only variant.
func (h *harness) variant(onHand int64) string {
	h.t.Helper()
	shop, _ := h.shop(fmt.Sprintf("shop-%d", time.Now().UnixNano()))
	p := h.get(h.add(simple(shop, "p", "Thing", onHand))[0])
	return p.GetVariants()[0].GetId()
}

func (h *harness) get(productID string) *productv1.Product {
	h.t.Helper()
	out, err := h.visitor.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
	require.NoError(h.t, err)
	return out.GetProduct()
}

func (h *harness) stock(variantID string) (onHand, reserved int64) {
	h.t.Helper()
	require.NoError(
		h.t,
		h.pool.QueryRow(context.Background(), `select on_hand, reserved from stock where variant_id = $1`, variantID).
			Scan(&onHand, &reserved),
	)
	return onHand, reserved
}

func (h *harness) events(subject string) int {
	h.t.Helper()
	var n int
	require.NoError(
		h.t,
		h.pool.QueryRow(context.Background(), `select count(*) from outbox where subject = $1`, subject).Scan(&n),
	)
	return n
}

func line(variantID string, n int64) []*productv1.Line {
	return []*productv1.Line{{VariantId: variantID, Quantity: n}}
}
