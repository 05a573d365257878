// Package rest is the gateway's REST surface: the routes of all contracts, sign-in, webhooks and documentation.
package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"souk/apps/gateway/internal/middleware"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
	"souk/pkg/rpc"
)

// contractRoutes returns the routes of all contracts.
func contractRoutes() (routes, error) {
	return routesOf(authv1.File_souk_auth_v1_auth_proto, cartv1.File_souk_cart_v1_cart_proto, orderv1.File_souk_order_v1_order_proto,
		paymentv1.File_souk_payment_v1_payment_proto, productv1.File_souk_product_v1_product_proto,
		shopv1.File_souk_shop_v1_shop_proto, userv1.File_souk_user_v1_user_proto)
}

// newMux returns a mux that routes the contracts' REST methods to the services behind conn.
func newMux(ctx context.Context, conn grpc.ClientConnInterface, routes routes, in *signIn, cache *middleware.ResponseCache, keys middleware.Keys, log *zap.Logger) (*runtime.ServeMux, error) {
	none := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonpb.Marshaler{}),
		runtime.WithIncomingHeaderMatcher(none), // the context carries what a service needs
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, status int) {
			writeRoutingError(w, r, routes, status)
		}),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
		runtime.WithForwardResponseOption(created),
		runtime.WithForwardResponseOption(func(_ context.Context, w http.ResponseWriter, m proto.Message) error {
			if guest, ok := m.(*authv1.CreateGuestResponse); ok {
				in.keepGuest(w, guest)
			}
			return nil
		}),
		runtime.WithMiddlewares(func(next runtime.HandlerFunc) runtime.HandlerFunc {
			// Each middleware wraps one route, so its contract is looked up once.
			var once sync.Once
			var route route
			return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
				once.Do(func() { route = routes.find(r) })
				x := middleware.From(r.Context())
				x.Route, x.Method = route.pattern, route.method
				err := rpc.Admit(route.access, x.Actor) // before any work for the caller
				if err == nil {
					err = route.parameters.check(r.URL.RawQuery)
				}
				if err != nil {
					middleware.WriteProblem(w, r, err)
					return
				}
				switch {
				case route.cacheSeconds > 0:
					cache.Public(w, r, route.cacheSeconds, route.tag(params), func(w http.ResponseWriter) { next(w, bare(r), params) })
				case r.Method == http.MethodPost:
					middleware.Idempotency(keys, log, w, r, route.idempotencyKey, func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Cache-Control", "no-store")
						next(&success{ResponseWriter: w, status: route.successStatus}, bare(r), params)
					})
				default:
					w.Header().Set("Cache-Control", "no-store")
					next(w, bare(r), params)
				}
			}
		}),
	)
	for _, err := range []error{
		authv1.RegisterAuthServiceHandlerClient(ctx, mux, authv1.NewAuthServiceClient(conn)),
		cartv1.RegisterCartServiceHandlerClient(ctx, mux, cartv1.NewCartServiceClient(conn)),
		orderv1.RegisterOrderServiceHandlerClient(ctx, mux, orderv1.NewOrderServiceClient(conn)),
		paymentv1.RegisterPaymentServiceHandlerClient(ctx, mux, paymentv1.NewPaymentServiceClient(conn)),
		productv1.RegisterProductServiceHandlerClient(ctx, mux, productv1.NewProductServiceClient(conn)),
		shopv1.RegisterShopServiceHandlerClient(ctx, mux, shopv1.NewShopServiceClient(conn)),
		userv1.RegisterUserServiceHandlerClient(ctx, mux, userv1.NewUserServiceClient(conn)),
	} {
		if err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// bare returns the request without the headers and addresses that the generated handlers would copy into gRPC
// metadata. No service reads them.
func bare(r *http.Request) *http.Request {
	b := *r
	b.Header, b.Host, b.RemoteAddr = noHeader, "", ""
	return &b
}

var noHeader = http.Header{}

// created sets the Location of a new resource.
func created(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	switch m := unwrap(m).(type) {
	case *orderv1.CheckoutResponse:
		w.Header().Set("Location", "/v1/orders/"+m.GetOrder().GetId())
	case *productv1.CreateProductResponse:
		w.Header().Set("Location", "/v1/products/"+m.GetProduct().GetId())
	case *shopv1.CreateShopResponse:
		w.Header().Set("Location", "/v1/shops/"+m.GetShop().GetId())
	}
	return nil
}

// success sends the contract's status for a successful call.
type success struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader sends a status that the handler chose: an error's.
func (s *success) WriteHeader(status int) {
	s.wrote = true
	s.ResponseWriter.WriteHeader(status)
}

// Write sends the contract's status first, unless the handler chose one.
func (s *success) Write(b []byte) (int, error) {
	if !s.wrote {
		s.WriteHeader(s.status)
	}
	return s.ResponseWriter.Write(b)
}

// unwrap returns the message itself: with a response_body, the generated code passes a struct that embeds it.
func unwrap(m proto.Message) proto.Message { return m.ProtoReflect().Interface() }

func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	var coded *errs.Error
	if errors.As(err, &coded) {
		middleware.WriteProblem(w, r, coded)
		return
	}
	var routing *runtime.HTTPStatusError
	if errors.As(err, &routing) {
		err = routing.Err
	}
	if s, ok := status.FromError(err); ok {
		err = errs.FromStatus(s)
	}
	middleware.WriteProblem(w, r, err)
}

// writeRoutingError answers a request that matches no route of a contract.
func writeRoutingError(w http.ResponseWriter, r *http.Request, routes routes, status int) {
	if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		middleware.WriteProblem(w, r, errs.New(errs.Invalid, "the request's path is malformed"))
		return
	}
	if allowed := routes.allowed(r.URL.Path); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		middleware.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take this method: see the Allow header")
		return
	}
	middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
}
