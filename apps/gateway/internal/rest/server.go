package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/gateway/internal/middleware"
	authv1 "souk/gen/go/souk/auth/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/metric"
)

// Deps is what the REST surface is made of.
type Deps struct {
	Conn           grpc.ClientConnInterface
	Signer         *identity.Signer
	Keys           middleware.Keys
	Cache          *middleware.ResponseCache
	ByCaller       middleware.Limiter
	ByAddress      middleware.Limiter
	Logger         *zap.Logger
	Tracer         trace.Tracer
	Metrics        prometheus.Registerer
	Clock          clock.Clock
	PublicURL      string
	DevURL         string
	Origins        []string
	TrustedProxies []netip.Prefix
	MaxBody        int64
	Timeout        time.Duration
	Ready          func(context.Context) error
}

// New returns the gateway's handler. The order in which a request passes the middlewares stands here.
func New(ctx context.Context, d Deps) (http.Handler, error) {
	https := strings.HasPrefix(d.PublicURL, "https://")
	session, login := CookieNames(https)
	auth := authv1.NewAuthServiceClient(d.Conn)

	contracts, err := newMux(ctx, d.Conn, d.Cache, d.Keys, d.Logger)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", contracts)
	in := &signIn{auth: auth, publicURL: d.PublicURL, session: session, login: login, guest: "souk_guest", secure: https}
	mux.HandleFunc("GET /auth/login", routed("/auth/login", in.begin))
	mux.HandleFunc("GET /auth/callback", routed("/auth/callback", in.callback))
	mux.HandleFunc("POST /auth/logout", routed("/auth/logout", in.logout))
	mux.HandleFunc("POST /v1/webhooks/payments/{provider}", routed("/v1/webhooks/payments/{provider}", webhook(paymentv1.NewPaymentServiceClient(d.Conn))))
	mux.HandleFunc("GET /openapi.json", routed("/openapi.json", openAPI))
	mux.HandleFunc("GET /docs", routed("/docs", docs))
	mux.HandleFunc("GET /docs/{file}", routed("/docs/{file}", docsFile))
	mux.HandleFunc("GET /health/live", routed("/health/live", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, nil) }))
	mux.HandleFunc("GET /health/ready", routed("/health/ready", func(w http.ResponseWriter, r *http.Request) { writeHealth(w, d.Ready(r.Context())) }))
	if d.DevURL != "" {
		target, err := url.Parse(d.DevURL)
		if err != nil {
			return nil, fmt.Errorf("dev_url: %w", err)
		}
		dev := httputil.NewSingleHostReverseProxy(target)
		mux.HandleFunc("/dev/", routed("/dev/", dev.ServeHTTP))
	}

	metrics, err := metric.NewHTTP(d.Metrics)
	if err != nil {
		return nil, err
	}
	crossOrigin, err := middleware.CrossOrigin(d.Origins)
	if err != nil {
		return nil, fmt.Errorf("origins: %w", err)
	}
	return middleware.Chain(mux,
		middleware.Begin(),
		middleware.RequestID(),
		middleware.Trace(d.Tracer),
		middleware.Metrics(metrics, d.Clock),
		middleware.AccessLog(d.Logger, d.Clock),
		middleware.Recover(d.Logger),
		middleware.SecurityHeaders(https),
		middleware.CORS(d.Origins),
		d.Cache.Lookup(), // before all that costs: what is in it, anybody may see
		middleware.Timeout(d.Timeout),
		middleware.Body(d.MaxBody),
		middleware.Authenticate(auth, d.Signer, session, d.Clock),
		crossOrigin,
		middleware.RateLimit(d.ByCaller, d.ByAddress, d.TrustedProxies, d.Logger),
		// per route, in newMux: idempotency; ETag, Cache-Control and the filling of the cache
	), nil
}

// routed names the route of a handler that no contract describes.
func routed(route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		middleware.From(r.Context()).Route = route
		h(w, r)
	}
}

func writeHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"unavailable"}`)) // the prober is gone: nobody to tell
		return
	}
	_, _ = w.Write([]byte(`{"status":"ok"}`)) // as above
}
