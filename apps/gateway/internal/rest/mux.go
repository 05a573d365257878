// Package rest is the gateway's REST surface: the routes of all contracts, sign-in, webhooks and documentation.
package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/apps/gateway/internal/firewall"
	"souk/apps/gateway/internal/middleware"
	authv1 "souk/gen/go/souk/auth/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
	"souk/pkg/rpc"
)

// contractRoutes returns the routes of all contracts.
func contractRoutes() (routes, error) {
	var contracts []protoreflect.FileDescriptor
	for _, s := range services.All() {
		if s.Contract != nil {
			contracts = append(contracts, s.Contract)
		}
	}
	return routesOf(contracts...)
}

// newMux returns a mux that routes the contracts' REST methods to the services behind conn.
func newMux(
	ctx context.Context, conn grpc.ClientConnInterface, routes routes, in *signIn, cache *middleware.ResponseCache,
	keys *middleware.Idempotency, wall *firewall.Firewall,
) (*runtime.ServeMux, error) {
	none := func(string) (string, bool) { return "", false }
	var mux *runtime.ServeMux
	mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonpb.Marshaler{}),
		runtime.WithIncomingHeaderMatcher(none), // the context carries what a service needs
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(
			func(
				_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler,
				w http.ResponseWriter, r *http.Request, status int,
			) {
				writeRoutingError(w, r, routes, status)
			},
		),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
		runtime.WithForwardResponseOption(created),
		runtime.WithForwardResponseOption(rejectedVouchers),
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
				err := rpc.Admit(route.access, x.Actor, time.Now()) // before any work for the caller
				if err == nil {
					err = route.parameters.check(r.URL.RawQuery)
				}
				if err == nil {
					var conditional *http.Request
					if conditional, err = withIfMatch(r, route.takesIfMatch); err == nil {
						r = conditional
					}
				}
				if err == nil && route.rateCost > 1 {
					err = keys.Limits.Take(r, route.rateCost-1) // RateLimit has taken one
				}
				if err == nil {
					err = wall.Check(r, route.pattern, route.freeText(r))
				}
				release := func() {}
				if err == nil {
					release, err = route.inFlight.Acquire(r.Context(), x.Actor.ID)
				}
				if err != nil {
					middleware.WriteProblem(w, r, err)
					return
				}
				defer release()
				switch {
				case route.cacheSeconds > 0:
					cache.Public(w, r, route.cacheSeconds, route.tag(params),
						func(w http.ResponseWriter, r *http.Request) { next(w, bare(r), params) })
				case r.Method == http.MethodPost:
					keys.Serve(w, r, route.keyRule(mux), func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Cache-Control", "no-store")
						next(&success{ResponseWriter: w, route: &route}, bare(r), params)
					})
				default:
					w.Header().Set("Cache-Control", "no-store")
					next(&success{ResponseWriter: w, route: &route}, bare(r), params)
				}
			}
		}),
	)
	for _, s := range services.All() {
		if s.RegisterREST == nil {
			continue
		}
		if err := s.RegisterREST(ctx, mux, conn); err != nil {
			return nil, fmt.Errorf("routes of %s: %w", s.Name, err)
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

// created notes where the API shows the answer's resource, and sends the Location of one that the call created.
func created(ctx context.Context, w http.ResponseWriter, m proto.Message) error {
	s, ok := w.(*success)
	if !ok {
		return nil
	}
	if s.route.resource != nil {
		middleware.From(ctx).Resource = s.route.resource.of(unwrap(m))
	}
	if s.route.location != nil {
		w.Header().Set("Location", s.route.location.of(unwrap(m)))
	}
	return nil
}

// rejectedVouchers notes the voucher codes of a quote that cannot be used.
func rejectedVouchers(ctx context.Context, _ http.ResponseWriter, m proto.Message) error {
	if res, ok := unwrap(m).(*orderv1.QuoteCartResponse); ok {
		for _, v := range res.GetQuote().GetRejectedVouchers() {
			middleware.From(ctx).NoteVoucher(v.GetReason())
		}
	}
	return nil
}

// success sends the contract's status for a successful call, and the ETag of a product that the answer shows.
type success struct {
	http.ResponseWriter
	route *route
	wrote bool
}

// WriteHeader sends a status that the handler chose: an error's.
func (s *success) WriteHeader(status int) {
	s.wrote = true
	s.ResponseWriter.WriteHeader(status)
}

// Write sends the contract's status first, unless the handler chose one.
func (s *success) Write(b []byte) (int, error) {
	if !s.wrote {
		if s.route.showsProduct {
			s.Header().Set("ETag", jsonpb.ETag(b))
		}
		s.WriteHeader(s.route.successStatus)
	}
	return s.ResponseWriter.Write(b)
}

// unwrap returns the message itself: with a response_body, the generated code passes a struct that embeds it.
func unwrap(m proto.Message) proto.Message { return m.ProtoReflect().Interface() }

func writeError(
	_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error,
) {
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
		middleware.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed",
			"this path does not take this method: see the Allow header")
		return
	}
	middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
}
