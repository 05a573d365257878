// Package tests holds the black-box tests of the product service. They call it through its contract, with a real
// database, a real Redis and a fake shop service.
package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/product"
	"souk/apps/product/internal/repository"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// sharedData is the directory of the real marketplace data. It may be missing.
var sharedData = filepath.Join("..", "..", "..", "..", "shared", "data")

// harness is the product service, a fake of the shop service, and clients of it.
type harness struct {
	*moduletest.Service
	t             testing.TB
	store         *repository.Store // as another process of the service, without a cache
	clock         *clock.Manual
	shops         *shops
	client, order productv1.ProductServiceClient // as the gateway and the order service
	lists         int                            // that titles has asked for
}

// setup starts the service. Its clock stands still, it has no cache, and nothing expires by itself.
func setup(t testing.TB, opts ...moduletest.Option) *harness {
	t.Helper()
	h := &harness{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), shops: newShops()}
	h.Service = moduletest.Start(t, product.Module, append([]moduletest.Option{
		moduletest.Clock(h.clock),
		moduletest.Config(map[string]any{
			"cache_ttl": "0s", "sweep_interval": "24h", "words_interval": "24h", "keep_reservations": "0s",
		}),
		moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, h.shops) }),
	}, opts...)...)
	h.client = productv1.NewProductServiceClient(h.Client("gateway"))
	h.order = productv1.NewProductServiceClient(h.Client("order"))
	h.store = repository.New(h.Pool, repository.Options{Clock: h.clock, LowStock: 5})
	t.Cleanup(h.store.Close)
	return h
}

// cached gives the service a cache, in a Redis of its own, because each test changes the version of the same catalogue.
func cached(t testing.TB) []moduletest.Option {
	t.Helper()
	return []moduletest.Option{
		moduletest.Redis(redistest.Private(t).Config()), moduletest.Config(map[string]any{"cache_ttl": "1m"}),
	}
}

func (h *harness) asOperator() context.Context {
	return h.AsUser(id.New(id.User), permission.RoleOperator)
}

func (h *harness) asVisitor() context.Context { return h.As(identity.Anonymous()) }

// shop adds a shop with one member.
func (h *harness) shop(handle string) (shopID, member string) {
	shopID, member = id.New(id.Shop), id.New(id.User)
	h.shops.mu.Lock()
	defer h.shops.mu.Unlock()
	h.shops.byHandle[handle] = &shopv1.Shop{
		Id: shopID, Handle: handle, Name: "Shop " + handle, Status: "active", UpdatedAt: timestamppb.New(h.clock.Now()),
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
	_ context.Context, in *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := &shopv1.CheckMembershipResponse{ShopId: in.GetShopId(), Member: s.members[in.GetShopId()+in.GetUserId()]}
	for _, shop := range s.byHandle {
		if shop.GetId() == in.GetShopId() {
			res.Status = shop.GetStatus()
		}
	}
	return res, nil
}

func (s *shops) BatchGetShops(
	_ context.Context, in *shopv1.BatchGetShopsRequest,
) (*shopv1.BatchGetShopsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &shopv1.BatchGetShopsResponse{}
	for _, handle := range in.GetHandles() {
		if shop := s.byHandle[handle]; shop != nil {
			out.Shops = append(out.Shops, shop)
		}
	}
	for _, shop := range s.byHandle {
		if slices.Contains(in.GetIds(), shop.GetId()) {
			out.Shops = append(out.Shops, shop)
		}
	}
	return out, nil
}

func (s *shops) setStatus(handle, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byHandle[handle].Status = status
}

func (s *shops) handle(shopID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for handle, shop := range s.byHandle {
		if shop.GetId() == shopID {
			return handle
		}
	}
	return ""
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
	out, err := h.client.ImportProducts(h.asOperator(), &productv1.ImportProductsRequest{Products: products})
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
	out, err := h.client.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
	require.NoError(h.t, err)
	return out.GetProduct()
}

func (h *harness) stock(variantID string) (onHand, reserved int64) {
	h.t.Helper()
	const sql = `select on_hand, reserved from stock where variant_id = $1`
	require.NoError(h.t, h.Pool.QueryRow(context.Background(), sql, variantID).Scan(&onHand, &reserved))
	return onHand, reserved
}

// appended returns how many events of a subject the service has appended.
func (h *harness) appended(subject string) int {
	h.t.Helper()
	return moduletest.Value[int](h.Service, `select count(*) from outbox where subject = $1`, subject)
}

func line(variantID string, n int64) []*productv1.Line {
	return []*productv1.Line{{VariantId: variantID, Quantity: n}}
}
