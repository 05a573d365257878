// Package tests calls the gateway from outside, with fake services behind it on the real transport.
package tests

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/gateway/internal/middleware"
	"souk/apps/gateway/internal/repository"
	"souk/apps/gateway/internal/rest"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/cache"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/logging"
	"souk/pkg/redistest"
	"souk/pkg/rpc"
	"souk/pkg/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout is the longest wait of a test.
const timeout = 10 * time.Second

// seed is the seed of all keys in these tests.
var seed = []byte(strings.Repeat("s", 32))

// gateway is the harness: a gateway under test and the fakes behind it.
type gateway struct {
	t     testing.TB
	url   string
	logs  *buffer
	redis rueidis.Client

	auth     *auth
	products *products
	carts    *carts
	orders   *orders
	payments *payments
	stop     map[string]func(context.Context) error // of each service
}

func setup(t testing.TB, change ...func(*rest.Deps)) *gateway {
	t.Helper()
	handler, g := build(t, change...)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func build(t testing.TB, change ...func(*rest.Deps)) (http.Handler, *gateway) {
	t.Helper()
	g := &gateway{
		t: t, logs: &buffer{}, redis: redistest.Client(t), stop: map[string]func(context.Context) error{},
		auth: &auth{}, products: &products{}, carts: &carts{}, orders: &orders{}, payments: &payments{},
	}
	log, err := logging.New(logging.Default(), g.logs)
	require.NoError(t, err)
	provider, err := telemetry.New(t.Context(), "gateway", telemetry.Default())
	require.NoError(t, err)
	keys := map[string]ed25519.PublicKey{}
	for _, name := range services.Names() {
		keys[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
	}
	local := rpc.NewLocal()
	serve := func(name string, register func(*rpc.Server)) {
		s := rpc.NewServer(
			rpc.ServerOptions{Service: name, Verifier: identity.NewVerifier(keys, clock.System{}), Logger: log},
		)
		register(s)
		stop, err := local.Serve(t.Context(), s)
		require.NoError(t, err)
		g.stop[name] = stop
	}
	serve("auth", func(s *rpc.Server) { authv1.RegisterAuthServiceServer(s, g.auth) })
	serve("product", func(s *rpc.Server) { productv1.RegisterProductServiceServer(s, g.products) })
	serve("cart", func(s *rpc.Server) { cartv1.RegisterCartServiceServer(s, g.carts) })
	serve("order", func(s *rpc.Server) { orderv1.RegisterOrderServiceServer(s, g.orders) })
	serve("payment", func(s *rpc.Server) { paymentv1.RegisterPaymentServiceServer(s, g.payments) })

	signer := identity.NewSigner("gateway", identity.DeriveKey(seed, "gateway"), time.Minute, clock.System{})
	unlimited, err := repository.NewLimiter(g.redis, "none", 0, 0)
	require.NoError(t, err)
	d := rest.Deps{
		Conn: rpc.NewClient(local.Conn(), rpc.ClientOptions{Service: "gateway", Signer: signer}), Signer: signer,
		Keys:     repository.NewKeys(g.redis, time.Minute),
		Cache:    middleware.NewResponseCache(repository.NewTags(g.redis), 1<<20, clock.System{}),
		ByCaller: unlimited, ByAddress: unlimited,
		Logger: log, Tracer: provider.Tracer("gateway"), Metrics: prometheus.NewRegistry(), Clock: clock.System{},
		PublicURL: "http://souk.test", MaxBody: 1 << 20, Timeout: timeout,
		Ready: func(context.Context) error { return nil },
	}
	for _, c := range change {
		c(&d)
	}
	handler, err := rest.New(t.Context(), d)
	require.NoError(t, err)
	return handler, g
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &m), a.body)
	return m
}

// problem checks that a is the expected problem, and returns it.
func (a answer) problem(t testing.TB, status int, code errs.Code) map[string]any {
	t.Helper()
	require.Equal(t, status, a.StatusCode, a.body)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	p := a.json(t)
	require.Equal(t, string(code), p["code"], a.body)
	require.InDelta(t, status, p["status"], 0)
	require.NotEmpty(t, p["type"])
	require.Equal(t, http.StatusText(status), p["title"])
	require.Len(t, p["traceId"], 32)
	return p
}

// field returns the path of a problem's only invalid field.
func field(t testing.TB, p map[string]any) string {
	t.Helper()
	list, ok := p["errors"].([]any)
	require.True(t, ok, "%v", p)
	require.Len(t, list, 1, "%v", p)
	return list[0].(map[string]any)["field"].(string)
}

// send sends a request to the gateway. header holds pairs of name and value.
func (g *gateway) send(method, target, body string, header ...string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+target, strings.NewReader(body))
	require.NoError(g.t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	return g.do(r)
}

func (g *gateway) do(r *http.Request) answer {
	g.t.Helper()
	res, err := client.Do(r)
	require.NoError(g.t, err)
	defer func() { require.NoError(g.t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	return answer{res, string(body)}
}

// client follows no redirect and keeps no connection.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       timeout,
}

const (
	asUser  = "Bearer user-usr_1"
	asGuest = "Bearer guest-gst_1"
)

// buffer collects log lines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// auth knows the tokens user-ID and guest-ID, and the session "live".
type auth struct {
	authv1.UnimplementedAuthServiceServer
	mu       sync.Mutex
	begun    *authv1.BeginLoginRequest
	complete *authv1.CompleteLoginRequest
	out      *authv1.LogoutRequest
	returnTo string
	err      error
	outErr   error  // only of Logout
	endURL   string // the answer of Logout
}

func (a *auth) Authenticate(_ context.Context, r *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	kind, id, _ := strings.Cut(r.GetBearer(), "-")
	if r.GetSessionId() == "live" {
		kind, id = "user", "usr_session"
	}
	if kind != "user" && kind != "guest" {
		return nil, errs.New(errs.Unauthenticated, "sign in again")
	}
	return &authv1.AuthenticateResponse{
		Kind:          kind,
		SubjectId:     id,
		ReusableUntil: timestamppb.New(time.Now().Add(time.Minute)),
	}, nil
}

func (a *auth) BeginLogin(_ context.Context, r *authv1.BeginLoginRequest) (*authv1.BeginLoginResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun = r
	return &authv1.BeginLoginResponse{AuthorizeUrl: "https://id.test/authorize?x=1", LoginCookie: "login-value"}, a.err
}

func (a *auth) CompleteLogin(_ context.Context, r *authv1.CompleteLoginRequest) (*authv1.CompleteLoginResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.complete = r
	if a.err != nil {
		return nil, a.err
	}
	return &authv1.CompleteLoginResponse{
		SessionId: "new-session",
		ExpiresAt: timestamppb.New(time.Now().Add(time.Hour)),
		ReturnTo:  a.returnTo,
	}, nil
}

func (a *auth) Logout(_ context.Context, r *authv1.LogoutRequest) (*authv1.LogoutResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.out = r
	return &authv1.LogoutResponse{EndSessionUrl: a.endURL}, cmp.Or(a.outErr, a.err)
}

func (a *auth) CreateGuest(context.Context, *authv1.CreateGuestRequest) (*authv1.CreateGuestResponse, error) {
	return &authv1.CreateGuestResponse{Token: "guest-gst_9", ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}, nil
}

// products fakes the product service.
type products struct {
	productv1.UnimplementedProductServiceServer
	mu     sync.Mutex
	get    func(context.Context, string) (*productv1.Product, error)
	calls  int
	search *productv1.SearchProductsRequest
	made   *productv1.CreateProductRequest
}

func (p *products) GetProduct(
	ctx context.Context,
	r *productv1.GetProductRequest,
) (*productv1.GetProductResponse, error) {
	p.mu.Lock()
	p.calls++
	get := p.get
	p.mu.Unlock()
	if get == nil {
		return &productv1.GetProductResponse{Product: &productv1.Product{Id: r.GetId(), Title: "A lamp"}}, nil
	}
	product, err := get(ctx, r.GetId())
	return &productv1.GetProductResponse{Product: product}, err
}

func (p *products) answerWith(get func(context.Context, string) (*productv1.Product, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.get = get
}

func (p *products) SearchProducts(
	_ context.Context,
	r *productv1.SearchProductsRequest,
) (*productv1.SearchProductsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.search = r
	return &productv1.SearchProductsResponse{}, nil
}

func (p *products) CreateProduct(
	_ context.Context,
	r *productv1.CreateProductRequest,
) (*productv1.CreateProductResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = r
	return &productv1.CreateProductResponse{
		Product: &productv1.Product{Id: "prd_new", Title: r.GetTitle(), Description: r.GetDescription()},
	}, nil
}

// carts fakes the cart service.
type carts struct {
	cartv1.UnimplementedCartServiceServer
	mu    sync.Mutex
	owner identity.Actor
	added *cartv1.AddItemRequest
}

func (c *carts) AddItem(ctx context.Context, r *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added, c.owner = r, identity.FromContext(ctx)
	return &cartv1.AddItemResponse{
		Cart: &cartv1.Cart{Items: []*cartv1.CartItem{{VariantId: r.GetVariantId(), Quantity: r.GetQuantity()}}},
	}, nil
}

func (c *carts) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{Cart: &cartv1.Cart{}}, nil
}

// orders fakes the order service.
type orders struct {
	orderv1.UnimplementedOrderServiceServer
	mu       sync.Mutex
	checkout func(context.Context) (*orderv1.Order, error)
	keys     []string
}

func (o *orders) Checkout(ctx context.Context, _ *orderv1.CheckoutRequest) (*orderv1.CheckoutResponse, error) {
	o.mu.Lock()
	o.keys = append(o.keys, rpc.IdempotencyKey(ctx))
	n, checkout := len(o.keys), o.checkout
	o.mu.Unlock()
	if checkout != nil {
		order, err := checkout(ctx)
		return &orderv1.CheckoutResponse{Order: order}, err
	}
	return &orderv1.CheckoutResponse{Order: &orderv1.Order{Id: "ord_" + string(rune('0'+n))}}, nil
}

func (o *orders) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.keys)
}

// payments fakes the payment service.
type payments struct {
	paymentv1.UnimplementedPaymentServiceServer
	mu     sync.Mutex
	notice *paymentv1.ReceiveWebhookRequest
	from   identity.Actor
}

func (p *payments) ReceiveWebhook(
	ctx context.Context,
	r *paymentv1.ReceiveWebhookRequest,
) (*paymentv1.ReceiveWebhookResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notice, p.from = r, identity.FromContext(ctx)
	return &paymentv1.ReceiveWebhookResponse{}, nil
}

func (g *gateway) bump(tag ...string) {
	g.t.Helper()
	require.NoError(g.t, cache.Bump(g.t.Context(), g.redis, cache.Tag(tag[0], tag[1:]...)))
}
