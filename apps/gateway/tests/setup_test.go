// Package tests calls the gateway from outside, with fake services behind it.
package tests

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	soukgateway "souk/apps/gateway"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// timeout is the longest wait for an answer.
const timeout = 10 * time.Second

// gateway is the harness: the gateway, and the fakes behind it.
type gateway struct {
	*moduletest.Service
	t     testing.TB
	url   string
	redis rueidis.Client

	auth     *auth
	products *products
	carts    *carts
	orders   *orders
	payments *payments
}

// setup starts the gateway without rate limits.
func setup(t testing.TB, opts ...moduletest.Option) *gateway {
	t.Helper()
	g := &gateway{
		t: t, redis: redistest.Client(t),
		auth: &auth{}, products: &products{}, carts: &carts{}, orders: &orders{}, payments: &payments{},
	}
	// The gateway is ready once it has reached every service with routes.
	var others []moduletest.Option
	for _, s := range services.All() {
		if s.RegisterREST != nil && s.Name != "settings" { // which has what the test sets
			others = append(others, down(s.Name))
		}
	}
	g.Service = moduletest.Start(t, soukgateway.Module, append(append(others,
		moduletest.Config(map[string]any{
			"addr": "127.0.0.1:0", "public_url": "http://souk.test", "lame_duck": "0s",
			"caller_rate": map[string]any{"per_second": 0}, "address_rate": map[string]any{"per_second": 0},
		}),
		moduletest.Fake("auth", func(r grpc.ServiceRegistrar) { authv1.RegisterAuthServiceServer(r, g.auth) }),
		moduletest.Fake("product",
			func(r grpc.ServiceRegistrar) { productv1.RegisterProductServiceServer(r, g.products) }),
		moduletest.Fake("cart", func(r grpc.ServiceRegistrar) { cartv1.RegisterCartServiceServer(r, g.carts) }),
		moduletest.Fake("order", func(r grpc.ServiceRegistrar) { orderv1.RegisterOrderServiceServer(r, g.orders) }),
		moduletest.Fake("payment",
			func(r grpc.ServiceRegistrar) { paymentv1.RegisterPaymentServiceServer(r, g.payments) }),
	), opts...)...)
	g.url = urlOf(t, g.Service)
	return g
}

// config is an option with a field of the gateway's configuration.
func config(field string, value any) moduletest.Option {
	return moduletest.Config(map[string]any{field: value})
}

// down is an option with a service of which every call is unavailable.
func down(service string) moduletest.Option {
	unavailable := func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
		return nil, errs.New(errs.Unavailable, "%s is down", service)
	}
	return moduletest.Fake(service, func(r grpc.ServiceRegistrar) {
		all := services.All()
		known := slices.IndexFunc(all, func(s services.Service) bool { return s.Name == service })
		contracts := all[known].Contract.Services()
		for i := range contracts.Len() {
			desc := &grpc.ServiceDesc{ServiceName: string(contracts.Get(i).FullName())}
			for j := range contracts.Get(i).Methods().Len() {
				desc.Methods = append(desc.Methods, grpc.MethodDesc{
					MethodName: string(contracts.Get(i).Methods().Get(j).Name()), Handler: unavailable,
				})
			}
			r.RegisterService(desc, nil)
		}
	})
}

// urlOf returns the URL of the gateway, whose port the system chooses.
func urlOf(t testing.TB, s *moduletest.Service) string {
	t.Helper()
	m := regexp.MustCompile(`"listening","addr":"([^"]+)"`).FindStringSubmatch(s.Logs())
	require.Len(t, m, 2, s.Logs())
	return "http://" + m[1]
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

// auth knows the tokens user-ID and guest-ID, the session "live", and API keys by their secret.
type auth struct {
	authv1.UnimplementedAuthServiceServer
	mu       sync.Mutex
	keys     map[string]*authv1.AuthenticateResponse
	refused  error  // of all users' tokens and sessions
	address  string // of the last token
	longAgo  bool   // users have signed in long ago
	begun    *authv1.BeginLoginRequest
	complete *authv1.CompleteLoginRequest
	out      *authv1.LogoutRequest
	returnTo string
	err      error
	outErr   error  // only of Logout
	endURL   string // the answer of Logout
}

func (a *auth) Authenticate(_ context.Context, r *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	a.mu.Lock()
	key, refused, longAgo := a.keys[r.GetBearer()], a.refused, a.longAgo
	if r.GetBearer() != "" {
		a.address = r.GetAddress()
	}
	a.mu.Unlock()
	if key != nil {
		return key, nil
	}
	kind, id, _ := strings.Cut(r.GetBearer(), "-")
	if r.GetSessionId() == "live" {
		kind, id = "user", "usr_session"
	}
	if kind == "user" && refused != nil {
		return nil, refused
	}
	if kind != "user" && kind != "guest" {
		return nil, errs.New(errs.Unauthenticated, "sign in again")
	}
	res := &authv1.AuthenticateResponse{
		Kind:          kind,
		SubjectId:     id,
		ReusableUntil: timestamppb.New(time.Now().Add(time.Minute)),
	}
	if kind == "user" {
		res.RecentSeconds = 600
		res.RecentUntil = timestamppb.New(time.Now().Add(time.Minute))
		if longAgo {
			res.RecentUntil = timestamppb.New(time.Now().Add(-time.Second))
		}
	}
	return res, nil
}

func (a *auth) BeginLogin(_ context.Context, r *authv1.BeginLoginRequest) (*authv1.BeginLoginResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun = r
	return &authv1.BeginLoginResponse{
		AuthorizeUrl: "https://id.test/authorize?x=1", LoginCookie: "login-value", Device: "begun-device",
	}, a.err
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
		Device:    "new-device",
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
	mu      sync.Mutex
	get     func(context.Context, string) (*productv1.Product, error)
	calls   int
	search  *productv1.SearchProductsRequest
	next    string // the answer of SearchProducts
	made    *productv1.CreateProductRequest
	updated *productv1.UpdateProductRequest
	// importing, if set, is called by each import.
	importing func(context.Context)
}

func (p *products) GetProduct(
	ctx context.Context, r *productv1.GetProductRequest,
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
	_ context.Context, r *productv1.SearchProductsRequest,
) (*productv1.SearchProductsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.search = r
	return &productv1.SearchProductsResponse{NextPageToken: p.next}, nil
}

func (p *products) CreateProduct(
	_ context.Context, r *productv1.CreateProductRequest,
) (*productv1.CreateProductResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = r
	return &productv1.CreateProductResponse{
		Product: &productv1.Product{Id: "prd_new", Title: r.GetTitle(), Description: r.GetDescription()},
	}, nil
}

func (p *products) UpdateProduct(
	_ context.Context, r *productv1.UpdateProductRequest,
) (*productv1.UpdateProductResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.updated = r
	return &productv1.UpdateProductResponse{Product: &productv1.Product{Id: r.GetId()}}, nil
}

func (p *products) ImportProducts(
	ctx context.Context, _ *productv1.ImportProductsRequest,
) (*productv1.ImportProductsResponse, error) {
	if p.importing != nil {
		p.importing(ctx)
	}
	return &productv1.ImportProductsResponse{}, nil
}

// carts fakes the cart service.
type carts struct {
	cartv1.UnimplementedCartServiceServer
	mu    sync.Mutex
	owner identity.Actor
	added *cartv1.AddItemRequest
	title string // of what was added
}

func (c *carts) AddItem(ctx context.Context, r *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added, c.owner = r, identity.FromContext(ctx)
	return &cartv1.AddItemResponse{
		Cart: &cartv1.Cart{Items: []*cartv1.CartItem{
			{VariantId: r.GetVariantId(), Quantity: r.GetQuantity(), Title: c.title},
		}},
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

// QuoteCart rejects every voucher: the first one has expired, the others are unknown.
func (*orders) QuoteCart(_ context.Context, r *orderv1.QuoteCartRequest) (*orderv1.QuoteCartResponse, error) {
	q := &orderv1.Quote{}
	for i, code := range r.GetVoucherCodes() {
		reason := "unknown"
		if i == 0 {
			reason = "expired"
		}
		q.RejectedVouchers = append(q.RejectedVouchers, &orderv1.RejectedVoucher{Code: code, Reason: reason})
	}
	return &orderv1.QuoteCartResponse{Quote: q}, nil
}

func (o *orders) GetOrder(_ context.Context, r *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	return &orderv1.GetOrderResponse{Order: &orderv1.Order{Id: r.GetId(), Number: "as it is now"}}, nil
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
	ctx context.Context, r *paymentv1.ReceiveWebhookRequest,
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
