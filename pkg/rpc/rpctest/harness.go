// Package rpctest is the test suite for transports of package rpc. Services cannot distinguish transports that
// pass it.
package rpctest

import (
	"context"
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/rpc"
)

// Timeout is how long a test waits for an expected event.
const Timeout = 20 * time.Second

// Transports returns the serving and the calling end of a transport for one test.
type Transports func(t testing.TB) (server, client rpc.Transport)

// Product is a fake product service. Its fields implement the methods of the same names; most other methods fail with
// errs.Unimplemented.
type Product struct {
	productv1.UnimplementedProductServiceServer

	Get     func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error)
	Create  func(context.Context, *productv1.CreateProductRequest) (*productv1.CreateProductResponse, error)
	Search  func(context.Context, *productv1.SearchProductsRequest) (*productv1.SearchProductsResponse, error)
	Reserve func(context.Context, *productv1.ReserveInventoryRequest) (*productv1.ReserveInventoryResponse, error)
}

// GetProduct calls Get. If Get is nil it returns a product with the requested ID.
func (p *Product) GetProduct(
	ctx context.Context, r *productv1.GetProductRequest,
) (*productv1.GetProductResponse, error) {
	if p.Get != nil {
		return p.Get(ctx, r)
	}
	return &productv1.GetProductResponse{Product: &productv1.Product{Id: r.GetId()}}, nil
}

// CreateProduct calls Create. If Create is nil it returns an empty response.
func (p *Product) CreateProduct(
	ctx context.Context, r *productv1.CreateProductRequest,
) (*productv1.CreateProductResponse, error) {
	if p.Create != nil {
		return p.Create(ctx, r)
	}
	return &productv1.CreateProductResponse{}, nil
}

// SearchProducts calls Search. If Search is nil it returns an empty response.
func (p *Product) SearchProducts(
	ctx context.Context, r *productv1.SearchProductsRequest,
) (*productv1.SearchProductsResponse, error) {
	if p.Search != nil {
		return p.Search(ctx, r)
	}
	return &productv1.SearchProductsResponse{}, nil
}

// ImportProducts returns an empty response.
func (p *Product) ImportProducts(
	context.Context, *productv1.ImportProductsRequest,
) (*productv1.ImportProductsResponse, error) {
	return &productv1.ImportProductsResponse{}, nil
}

// CreateCategory returns an empty response.
func (p *Product) CreateCategory(
	context.Context, *productv1.CreateCategoryRequest,
) (*productv1.CreateCategoryResponse, error) {
	return &productv1.CreateCategoryResponse{}, nil
}

// BatchGetVariants returns an empty response.
func (p *Product) BatchGetVariants(
	context.Context, *productv1.BatchGetVariantsRequest,
) (*productv1.BatchGetVariantsResponse, error) {
	return &productv1.BatchGetVariantsResponse{}, nil
}

// ReserveInventory calls Reserve. If Reserve is nil it returns an empty response.
func (p *Product) ReserveInventory(
	ctx context.Context, r *productv1.ReserveInventoryRequest,
) (*productv1.ReserveInventoryResponse, error) {
	if p.Reserve != nil {
		return p.Reserve(ctx, r)
	}
	return &productv1.ReserveInventoryResponse{}, nil
}

type cart struct {
	cartv1.UnimplementedCartServiceServer
}

func (cart) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{}, nil
}

type order struct {
	orderv1.UnimplementedOrderServiceServer
}

func (order) Checkout(context.Context, *orderv1.CheckoutRequest) (*orderv1.CheckoutResponse, error) {
	return &orderv1.CheckoutResponse{}, nil
}

// Harness is a product, cart and order service on a transport, and the means to call them.
type Harness struct {
	Product *Product
	Logs    *observer.ObservedLogs
	Metrics *prometheus.Registry
	Clock   *clock.Manual
	// Stop stops the services. They are also stopped when the test ends.
	Stop func(context.Context) error
	// Raw is the transport's bare connection.
	Raw *Raw

	signers map[string]*identity.Signer
	// local are signers in the verifier's process.
	local map[string]*identity.Signer
}

const seed = "a seed for the tests of transports"

// Setup serves product, cart and order on a transport. edit, which may be nil, changes the server's options.
func Setup(t testing.TB, transports Transports, edit func(*rpc.ServerOptions)) *Harness {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	k := &Harness{
		Product: &Product{}, Logs: logs, Metrics: prometheus.NewRegistry(),
		Clock:   clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)),
		signers: map[string]*identity.Signer{}, local: map[string]*identity.Signer{},
	}
	keys := map[string]ed25519.PublicKey{}
	for _, name := range []string{identity.Gateway, "order", "cart"} {
		key := identity.DeriveKey([]byte(seed), name)
		keys[name] = key.Public().(ed25519.PublicKey)
		k.signers[name] = identity.NewSigner(name, key, 5*time.Minute, k.Clock)
	}
	verifier := identity.NewVerifier(keys, k.Clock)
	for name := range keys {
		k.local[name] = verifier.Signer(name, identity.DeriveKey([]byte(seed), name), 5*time.Minute)
	}
	o := rpc.ServerOptions{
		Service: "product", Verifier: verifier,
		Logger: zap.New(core), Metrics: k.Metrics,
	}
	if edit != nil {
		edit(&o)
	}
	s := rpc.NewServer(o)
	productv1.RegisterProductServiceServer(s, k.Product)
	cartv1.RegisterCartServiceServer(s, cart{})
	orderv1.RegisterOrderServiceServer(s, order{})
	require.NoError(t, s.Err())

	server, client := transports(t)
	stop, err := server.Serve(t.Context(), s)
	require.NoError(t, err)
	k.Stop = stop
	k.Raw = &Raw{ClientConnInterface: client.Conn()}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Timeout)
		defer cancel()
		if err := stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return k
}

// Client returns stubs that call as the named service. edit changes the client's options.
func (k *Harness) Client(service string, edit ...func(*rpc.ClientOptions)) *Client {
	conn := k.Conn(service, edit...)
	return &Client{
		ProductServiceClient: productv1.NewProductServiceClient(conn),
		Cart:                 cartv1.NewCartServiceClient(conn),
		Order:                orderv1.NewOrderServiceClient(conn),
	}
}

// Conn is Client without stubs.
func (k *Harness) Conn(service string, edit ...func(*rpc.ClientOptions)) grpc.ClientConnInterface {
	o := rpc.ClientOptions{Service: service, Signer: k.signers[service]}
	for _, e := range edit {
		e(&o)
	}
	return rpc.NewClient(k.Raw, o)
}

// Client holds the stubs of one connection.
type Client struct {
	productv1.ProductServiceClient

	Cart  cartv1.CartServiceClient
	Order orderv1.OrderServiceClient
}

// As returns a context for calls by the gateway on behalf of the actor.
func (k *Harness) As(ctx context.Context, t testing.TB, a identity.Actor) context.Context {
	t.Helper()
	return identity.WithAssertion(ctx, k.signers[identity.Gateway].Assert(a))
}

// User returns a context for calls by the gateway on behalf of a user with permissions in the marketplace.
func (k *Harness) User(ctx context.Context, t testing.TB, permissions ...string) context.Context {
	t.Helper()
	return k.As(ctx, t, identity.Actor{Kind: identity.KindUser, ID: "usr_1", Permissions: permissions})
}

func get(id string) *productv1.GetProductRequest { return &productv1.GetProductRequest{Id: id} }

func create(title string) *productv1.CreateProductRequest {
	return &productv1.CreateProductRequest{
		ShopId:   "shp_1",
		Title:    title,
		Variants: []*productv1.VariantInput{{Sku: "a", Price: brl("1.00")}},
	}
}

func reserve() *productv1.ReserveInventoryRequest {
	return &productv1.ReserveInventoryRequest{
		OrderId: "ord_1",
		Lines:   []*productv1.Line{{VariantId: "var_1", Quantity: 1}},
	}
}

func brl(amount string) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "BRL", Amount: amount} }

// Raw is a bare connection that counts its calls.
type Raw struct {
	grpc.ClientConnInterface

	Calls atomic.Int64
}

// Invoke counts the call and passes it on.
func (r *Raw) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	r.Calls.Add(1)
	return r.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}
