package rpctest

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/retry"
	"souk/pkg/rpc"
	"souk/pkg/waittest"
)

const identityGateway = identity.Gateway

func validation(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	ctx := k.User(within(t), t)
	fields := func(err error) []string {
		e := errs.From(err)
		require.Equal(t, errs.Invalid, e.Code, "%v", err)
		var paths []string
		for _, f := range e.Fields {
			require.NotEmpty(t, f.Message)
			paths = append(paths, f.Path)
		}
		return paths
	}
	client := k.Client(identityGateway)
	_, err := client.Order.Checkout(ctx, &orderv1.CheckoutRequest{
		ShippingAddress: &orderv1.ShippingAddress{
			Name:        "n",
			Line1:       "l",
			City:        "c",
			PostalCode:  "p",
			CountryCode: "Brazil",
		},
		Payment:      &orderv1.PaymentInput{Method: "card"},
		VoucherCodes: []string{"ok", ""},
	})
	require.ElementsMatch(t, []string{"shippingAddress.countryCode", "voucherCodes[1]"}, fields(err))

	bad := create("title")
	bad.Variants = append(bad.Variants,
		&productv1.VariantInput{Price: brl("1.00"), Options: map[string]string{"Size": ""}})
	bad.ShopId = ""
	_, err = client.CreateProduct(ctx, bad)
	require.ElementsMatch(t, []string{"shopId", `variants[1].options["Size"]`}, fields(err))
}

// nul sends U+0000 in every kind of text field.
func nul(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	ctx := k.User(within(t), t)
	client := k.Client(identityGateway)
	created := func(change func(*productv1.CreateProductRequest)) error {
		r := create("title")
		change(r)
		_, err := client.CreateProduct(ctx, r)
		return err
	}
	for want, err := range map[string]error{
		"":            created(func(*productv1.CreateProductRequest) {}),
		"title":       created(func(r *productv1.CreateProductRequest) { r.Title = "a\x00" }),
		"description": created(func(r *productv1.CreateProductRequest) { r.Description = "\x00" }),
		"tags[1]":     created(func(r *productv1.CreateProductRequest) { r.Tags = []string{"a", "b\x00c"} }),
		"images[0].url": created(func(r *productv1.CreateProductRequest) {
			r.Images = []*productv1.Image{{Url: "https://a.test/\x00"}}
		}),
		`variants[0].options["a"]`: created(func(r *productv1.CreateProductRequest) {
			r.Variants[0].Options = map[string]string{"a": "\x00"}
		}),
		`variants[0].options["\x00"]`: created(func(r *productv1.CreateProductRequest) {
			r.Variants[0].Options = map[string]string{"\x00": "a"}
		}),
	} {
		if want == "" {
			require.NoError(t, err)
			continue
		}
		e := errs.From(err)
		require.Equal(t, errs.Invalid, e.Code, want)
		require.Equal(t, want, e.Fields[0].Path)
	}
	_, err := client.ImportProducts(ctx, &productv1.ImportProductsRequest{
		Products: []*productv1.ImportedProduct{{Title: "\x00"}},
	})
	require.NoError(t, err, "the contract leaves the products to the service")
}

func pageTokens(t *testing.T, transports Transports) {
	k := Setup(t, transports, func(o *rpc.ServerOptions) { o.PageKey = []byte("a key") })
	ctx := within(t)
	client := k.Client(identityGateway)
	const own = "a token of the service"
	shared := &productv1.SearchProductsResponse{NextPageToken: own, Products: []*productv1.Product{{Id: "prd_1"}}}
	var got string
	k.Product.Search = func(
		_ context.Context, r *productv1.SearchProductsRequest,
	) (*productv1.SearchProductsResponse, error) {
		got = r.GetPageToken()
		return shared, nil
	}
	search := func(token string) (*productv1.SearchProductsResponse, error) {
		return client.SearchProducts(ctx, &productv1.SearchProductsRequest{PageToken: token})
	}
	first, err := search("")
	require.NoError(t, err)
	require.Empty(t, got)
	require.Equal(t, "prd_1", first.GetProducts()[0].GetId())
	require.Equal(t, own, shared.GetNextPageToken(), "the handler's message is not changed")
	_, err = search(first.GetNextPageToken())
	require.NoError(t, err)
	require.Equal(t, own, got)

	token := first.GetNextPageToken()
	for _, forged := range []string{own, "x", "x" + token, token + "x", token[1:], token[:len(token)-1], token[len(own):]} {
		_, err = search(forged)
		e := errs.From(err)
		require.Equal(t, errs.Invalid, e.Code, forged)
		require.Equal(t, "pageToken", e.Fields[0].Path)
	}
	shared.NextPageToken = ""
	last, err := search(token)
	require.NoError(t, err)
	require.Empty(t, last.GetNextPageToken())
}

func header(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	type seen struct {
		key, request string
		actor        identity.Actor
		onward       string
		assertion    *identity.Assertion
	}
	got := make(chan seen, 1)
	k.Product.Reserve = func(ctx context.Context, _ *productv1.ReserveInventoryRequest) (*productv1.ReserveInventoryResponse, error) {
		got <- seen{
			key: rpc.IdempotencyKey(ctx), request: rpc.RequestID(ctx), actor: identity.FromContext(ctx),
			onward: identity.TokenFrom(ctx), assertion: identity.AssertionFrom(ctx),
		}
		return &productv1.ReserveInventoryResponse{}, nil
	}
	ctx := rpc.WithRequestID(rpc.WithIdempotencyKey(within(t), "saga/3"), "req_1")
	_, err := k.Client("order").ReserveInventory(ctx, reserve())
	require.NoError(t, err)
	require.Equal(t, seen{key: "saga/3", request: "req_1", actor: identity.Service("order")}, waittest.Receive(t, got))

	// The handler's calls carry the request ID, but not the received key.
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		_, err := k.Client("order").ReserveInventory(ctx, reserve())
		return &productv1.GetProductResponse{}, err
	}
	_, err = k.Client("order").GetProduct(ctx, get("1"))
	require.NoError(t, err)
	require.Equal(t, seen{request: "req_1", actor: identity.Service("order")}, waittest.Receive(t, got))
}

func spanContext(flags trace.TraceFlags) trace.SpanContext {
	state, _ := trace.ParseTraceState("vendor=x")
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5, 6}, TraceFlags: flags, TraceState: state,
	})
}

func unsampledTrace(t *testing.T, transports Transports) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	k := Setup(t, transports, func(o *rpc.ServerOptions) { o.Tracer = tracer })
	got := make(chan trace.SpanContext, 1)
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		got <- trace.SpanContextFromContext(ctx)
		return &productv1.GetProductResponse{}, nil
	}
	sent := spanContext(0)
	_, err := k.Client("order", func(o *rpc.ClientOptions) { o.Tracer = tracer }).
		GetProduct(trace.ContextWithSpanContext(within(t), sent), get("1"))
	require.NoError(t, err)
	require.Equal(t, sent.WithRemote(true), waittest.Receive(t, got), "the trace context is passed on")
	require.Empty(t, spans.Started(), "no span is started")
}

func sampledTrace(t *testing.T, transports Transports) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	k := Setup(t, transports, func(o *rpc.ServerOptions) { o.Tracer = tracer })
	sent := spanContext(trace.FlagsSampled)
	_, err := k.Client("order", func(o *rpc.ClientOptions) { o.Tracer = tracer }).
		GetProduct(trace.ContextWithSpanContext(within(t), sent), get("1"))
	require.NoError(t, err)
	var server, client sdktrace.ReadOnlySpan
	waittest.Until(t, func() bool {
		for _, s := range spans.Ended() {
			switch s.SpanKind() { //nolint:exhaustive // the others do not occur
			case trace.SpanKindServer:
				server = s
			case trace.SpanKindClient:
				client = s
			}
		}
		return server != nil && client != nil
	}, "spans are missing")
	require.Equal(t, sent.TraceID(), server.SpanContext().TraceID())
	require.Equal(t, client.SpanContext().SpanID(), server.Parent().SpanID())
	require.Equal(t, sent.SpanID(), client.Parent().SpanID())
	require.Equal(t, "souk.product.v1.ProductService/GetProduct", server.Name())
}

func access(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	ctx := within(t)
	callers := map[string]context.Context{
		"anonymous": k.As(ctx, t, identity.Anonymous()),
		"guest":     k.As(ctx, t, identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}),
		"user":      k.User(ctx, t),
		"operator":  k.User(ctx, t, "category.write", "product.write"),
		"gateway":   ctx,
	}
	g := k.Client(identityGateway)
	const ok, no, who = errs.Code(""), errs.Forbidden, errs.Unauthenticated
	for name, c := range map[string]struct {
		call func(context.Context) error
		want map[string]errs.Code
	}{
		"public": {
			func(ctx context.Context) error { _, err := g.GetProduct(ctx, get("1")); return err },
			map[string]errs.Code{"anonymous": ok, "guest": ok, "user": ok, "operator": ok, "gateway": ok},
		},
		"guest": {
			func(ctx context.Context) error { _, err := g.Cart.GetCart(ctx, &cartv1.GetCartRequest{}); return err },
			map[string]errs.Code{"anonymous": who, "guest": ok, "user": ok, "operator": ok, "gateway": no},
		},
		"signed in": {
			func(ctx context.Context) error { _, err := g.CreateProduct(ctx, create("t")); return err },
			map[string]errs.Code{"anonymous": who, "guest": who, "user": ok, "operator": ok, "gateway": no},
		},
		"role": {
			func(ctx context.Context) error {
				_, err := g.CreateCategory(ctx, &productv1.CreateCategoryRequest{Name: "n"})
				return err
			},
			map[string]errs.Code{"anonymous": who, "guest": who, "user": no, "operator": ok, "gateway": no},
		},
		"internal": {
			func(ctx context.Context) error { _, err := g.ReserveInventory(ctx, reserve()); return err },
			map[string]errs.Code{"anonymous": who, "guest": no, "user": no, "operator": no, "gateway": no},
		},
	} {
		for caller, want := range c.want {
			require.Equal(t, want, errs.CodeOf(c.call(callers[caller])), "%s calls a method for %s", caller, name)
		}
	}
	_, err := k.Client("order").ReserveInventory(ctx, reserve())
	require.NoError(t, err)
	_, err = k.Client("cart").ReserveInventory(ctx, reserve())
	require.Equal(t, errs.Internal, errs.CodeOf(err), "the refusal concerns the service, not the actor it works for")
	_, err = k.Client("unknown").ReserveInventory(ctx, reserve())
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "without a signer")
}

// getProduct is a method that anybody may call.
const getProduct = productv1.ProductService_GetProduct_FullMethodName

func tokens(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	ctx := within(t)
	g := k.Client(identityGateway)
	try := func(token string) errs.Code {
		_, err := g.GetProduct(identity.WithToken(ctx, token), get("1"))
		return errs.CodeOf(err)
	}
	sign := func(issuer, seed string, a identity.Actor) string {
		token, _, err := identity.NewSigner(issuer, identity.DeriveKey([]byte(seed), issuer), 5*time.Minute, k.Clock).
			Sign(a, getProduct)
		require.NoError(t, err)
		return token
	}
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1"}
	own, _, err := k.signers[identity.Gateway].Sign(user, getProduct)
	require.NoError(t, err)

	require.Empty(t, try(own))
	_, err = g.ReserveInventory(identity.WithToken(ctx, own), reserve())
	require.Equal(t, errs.Unauthenticated, errs.CodeOf(err), "the token is for another method")
	tryAssertion := func(a *identity.Assertion) errs.Code {
		_, err := g.GetProduct(identity.WithAssertion(ctx, a), get("1"))
		return errs.CodeOf(err)
	}
	var assertions []*identity.Assertion
	for where, signers := range map[string]map[string]*identity.Signer{
		"elsewhere": k.signers, "in the server's process": k.local,
	} {
		assertion := signers[identity.Gateway].Assert(user)
		require.Empty(t, tryAssertion(assertion), where)
		require.Equal(t, errs.Unauthenticated, tryAssertion(signers["order"].Assert(user)),
			"only the gateway asserts users, %s", where)
		assertions = append(assertions, assertion)
	}
	require.Equal(t, errs.Unauthenticated, try("usr_1"), "not a token, although the method is public")
	require.Equal(t, errs.Unauthenticated, try(sign(identity.Gateway, "a foreign installation's seed", user)),
		"foreign")
	require.Equal(t, errs.Unauthenticated, try(own[:len(own)-4]+"AAAA"), "forged")
	orderAsUser, _, err := k.signers["order"].Sign(user, getProduct)
	require.NoError(t, err)
	require.Equal(t, errs.Unauthenticated, try(orderAsUser), "only the gateway asserts users")
	ahead := identity.NewSigner("order", identity.DeriveKey([]byte(seed), "order"), 5*time.Minute,
		clock.NewManual(k.Clock.Now().Add(time.Hour)))
	conn := rpc.NewClient(k.Raw, rpc.ClientOptions{Service: "order", Signer: ahead})
	_, err = productv1.NewProductServiceClient(conn).ReserveInventory(ctx, reserve())
	require.Equal(t, errs.Unavailable, errs.CodeOf(err),
		"a wrong clock of the service is not reported as an unauthenticated actor")
	k.Clock.Advance(10 * time.Minute)
	require.Equal(t, errs.Unauthenticated, try(own), "expired")
	for _, a := range assertions {
		require.Equal(t, errs.Unauthenticated, tryAssertion(a), "expired")
	}
}

func retries(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	client := k.Client(identityGateway, func(o *rpc.ClientOptions) {
		o.Retry = retry.Policy{Attempts: 3, Base: time.Microsecond, Max: time.Millisecond}
	})
	left := 2
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "conflict" {
			return nil, errs.New(errs.Conflict, "no")
		}
		if left--; left >= 0 {
			return nil, errs.New(errs.Unavailable, "not yet")
		}
		return &productv1.GetProductResponse{}, nil
	}
	_, err := client.GetProduct(within(t), get("1"))
	require.NoError(t, err)
	require.EqualValues(t, 3, k.Raw.Calls.Swap(0), "an idempotent method is retried")

	_, err = client.GetProduct(within(t), get("conflict"))
	require.Equal(t, errs.Conflict, errs.CodeOf(err))
	require.EqualValues(t, 1, k.Raw.Calls.Swap(0), "a refusal is not retried")

	left = 99
	_, err = client.GetProduct(within(t), get("1"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	require.EqualValues(t, 3, k.Raw.Calls.Swap(0), "attempts are bounded")

	k.Product.Create = func(context.Context, *productv1.CreateProductRequest) (*productv1.CreateProductResponse, error) {
		return nil, errs.New(errs.Unavailable, "not yet")
	}
	_, err = client.CreateProduct(k.User(within(t), t), create("t"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	require.EqualValues(t, 1, k.Raw.Calls.Swap(0), "another method is not retried")
}

func breakerPerTarget(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		return nil, errs.New(errs.Unavailable, "down")
	}
	client := k.Client(identityGateway, func(o *rpc.ClientOptions) {
		o.Breakers = breaker.NewRegistry(breaker.Options{MinRequests: 3, OpenFor: time.Hour}, nil)
		o.Retry = retry.Policy{Attempts: 3}
	})
	_, err := client.GetProduct(within(t), get("1"))
	require.NotErrorIs(t, err, breaker.ErrOpen)
	require.EqualValues(t, 3, k.Raw.Calls.Swap(0))
	_, err = client.GetProduct(within(t), get("1"))
	require.ErrorIs(t, err, breaker.ErrOpen)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
	require.Equal(t, time.Hour, errs.From(err).RetryAfter)
	require.Zero(t, k.Raw.Calls.Load(), "an open breaker spares the target")
	_, err = client.Cart.GetCart(k.User(within(t), t), &cartv1.GetCartRequest{})
	require.NoError(t, err, "other targets go on")
}

func metricsCount(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	clientMetrics := prometheus.NewRegistry()
	client := k.Client("order", func(o *rpc.ClientOptions) { o.Metrics = clientMetrics })
	for range 2 {
		_, err := client.GetProduct(within(t), get("1"))
		require.NoError(t, err)
	}
	_, err := client.GetProduct(within(t), get(""))
	require.Error(t, err)
	for side, registry := range map[string]*prometheus.Registry{"server": k.Metrics, "client": clientMetrics} {
		want := map[string]float64{
			"requests ok": 2, "requests invalid_argument": 1, "duration ": 3,
		}
		require.Equal(t, want, counts(t, registry, side), side)
	}
}

// counts returns the metrics of product's GetProduct.
func counts(t *testing.T, g prometheus.Gatherer, side string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["target"] != "product" || labels["method"] != "GetProduct" {
				continue
			}
			switch f.GetName() {
			case "rpc_" + side + "_requests_total":
				got["requests "+labels["code"]] = m.GetCounter().GetValue()
			case "rpc_" + side + "_duration_seconds":
				got["duration "] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return got
}
