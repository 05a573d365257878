package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/gateway/internal/firewall"
	"souk/apps/gateway/internal/middleware"
	authv1 "souk/gen/go/souk/auth/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/metric"
	"souk/pkg/rpc"
)

// Deps are the dependencies of the REST surface.
type Deps struct {
	Conn      grpc.ClientConnInterface
	Signer    *identity.Signer
	Keys      middleware.Keys
	KeptLong  middleware.Retention
	KeptShort middleware.Retention
	Cache     *middleware.ResponseCache
	ByCaller  middleware.Limiter
	ByKey     func(perMinute int) (middleware.Limiter, error)
	ByAddress middleware.Limiter
	Firewall  *firewall.Firewall
	Observer  middleware.Observer
	// CountryHeader is the header in which a trusted proxy names the country of an address; "": none.
	CountryHeader  string
	Logger         *zap.Logger
	Tracer         trace.Tracer
	Metrics        prometheus.Registerer
	Counters       *middleware.Metrics
	Clock          clock.Clock
	PublicURL      string
	DevURL         string
	Environment    string // production, staging or development
	Origins        middleware.Origins
	LoopbackOnly   bool // answers requests for loopback hosts only
	TrustedProxies []netip.Prefix
	MaxBody        int64
	Timeout        time.Duration
	Ready          func(context.Context) error
	// Permissions returns what roles allow in the whole marketplace.
	Permissions func(roles []string) []string
	// SecondOperator returns the permissions whose calls another operator must approve.
	SecondOperator func() []string
	// Stopping is closed when the gateway stops.
	Stopping <-chan struct{}
}

// New returns the gateway's handler. It defines the order of the middlewares.
func New(ctx context.Context, d Deps) (http.Handler, error) {
	d.PublicURL = strings.TrimSuffix(d.PublicURL, "/")
	https := strings.HasPrefix(d.PublicURL, "https://")
	session, login, guest, device := cookieNames(https)
	auth := authv1.NewAuthServiceClient(d.Conn)
	metrics, err := metric.NewHTTP(d.Metrics)
	if err != nil {
		return nil, err
	}
	routes, err := contractRoutes()
	if err != nil {
		return nil, err
	}

	in := &signIn{
		auth:      auth,
		publicURL: d.PublicURL,
		session:   session,
		login:     login,
		guest:     guest,
		device:    device,
		secure:    https,
		trusted:   d.TrustedProxies,
		logger:    d.Logger,
	}
	mux := newOwnMux(routes)
	mux.firewall = d.Firewall
	mux.handle("GET /auth/login", in.begin)
	mux.handle("GET "+middleware.SignInCallback, in.callback)
	mux.handle("POST /auth/logout", in.logout)
	notifications := notificationv1.NewNotificationServiceClient(d.Conn)
	mux.handle("GET "+unsubscribePath, unsubscribe(notifications))
	mux.handle("POST "+unsubscribePath, unsubscribe(notifications))
	inboxes := &streams{
		notifications: notifications, clock: d.Clock, logger: d.Logger,
		stopping: d.Stopping, open: map[string][]*stream{},
	}
	mux.handle("GET "+streamPath, inboxes.handle)
	mux.handle("POST "+middleware.PaymentWebhooks, webhook(paymentv1.NewPaymentServiceClient(d.Conn)))
	limits := middleware.Limits{
		ByCaller:  d.ByCaller,
		ByKey:     d.ByKey,
		ByAddress: d.ByAddress,
		Trusted:   d.TrustedProxies,
		Metrics:   d.Counters,
		Logger:    d.Logger,
	}
	// The mux turns replies into JSON and changes nothing in them.
	contracts, err := newMux(
		ctx,
		preconditions{secondOperator{
			ClientConnInterface: rpc.ReadOnlyReplies(d.Conn), required: d.SecondOperator, logger: d.Logger,
			approvals: settingsv1.NewSettingsServiceClient(d.Conn), methods: &sync.Map{},
		}},
		routes,
		in,
		d.Cache,
		&middleware.Idempotency{
			Keys: d.Keys, Long: d.KeptLong, Short: d.KeptShort, Limits: limits, Metrics: d.Counters, Logger: d.Logger,
		},
		d.Firewall,
	)
	if err != nil {
		return nil, err
	}
	byContract := headAsGet(contracts)
	mux.Handle("/", byContract)

	// Routes that need no identity, and must answer while the services do not.
	open := newOwnMux(routes)
	if err := handleDocs(open); err != nil {
		return nil, err
	}
	open.handle("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, d.Environment, nil) })
	open.handle("GET /health/ready",
		func(w http.ResponseWriter, r *http.Request) { writeHealth(w, d.Environment, d.Ready(r.Context())) })
	if d.DevURL != "" {
		target, err := url.Parse(d.DevURL)
		if err != nil {
			return nil, fmt.Errorf("dev_url: %w", err)
		}
		proxy := devProxy(target)
		open.HandleFunc("/dev/", routed("/dev/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Del("Content-Security-Policy") // each tool sets its own
			proxy.ServeHTTP(w, r)
		}))
	}
	named := middleware.Chain(ahead(byContract, mux),
		middleware.Observe(d.Observer, d.TrustedProxies, d.CountryHeader),
		middleware.Authenticate(auth, d.Signer, session, d.Clock, limits, d.Permissions),
		middleware.RateLimit(limits), // refusals by later steps count, too
		middleware.CrossOrigin(d.Origins),
		// per route, in newMux: idempotency; ETag, Cache-Control and the filling of the cache
	)
	open.Handle("/", named)

	return middleware.Chain(plainPaths(ahead(named, open)),
		middleware.Begin(d.Clock),
		middleware.RequestID(),
		middleware.Trace(d.Tracer),
		middleware.Record(metrics, d.TrustedProxies, d.Logger, d.Clock), // metrics and access log
		middleware.Recover(d.Logger),
		middleware.SecurityHeaders(https),
		middleware.LoopbackHosts(d.LoopbackOnly),
		middleware.CORS(d.Origins),
		d.Cache.Lookup(), // before all expensive steps: every entry is public
		middleware.Timeout(d.Timeout, map[string]time.Duration{streamPath: longestStream + d.Timeout}),
		middleware.Body(d.MaxBody),
		middleware.Compress(),
	), nil
}

// ownMux routes paths that no contract describes. It adds them to the routes of the contracts' mux, which
// answers unmatched requests.
type ownMux struct {
	*http.ServeMux
	routes   routes
	firewall *firewall.Firewall // nil: nothing is examined
}

func newOwnMux(known routes) ownMux { return ownMux{ServeMux: http.NewServeMux(), routes: known} }

func (m ownMux) handle(pattern string, h http.HandlerFunc) {
	known := strings.TrimSuffix(pattern, "{$}") // the end of the path
	_, path, _ := strings.Cut(known, " ")
	m.routes[known] = route{pattern: path}
	m.HandleFunc(pattern, routed(path, func(w http.ResponseWriter, r *http.Request) {
		if err := m.firewall.Check(r, path, nil); err != nil {
			middleware.WriteProblem(w, r, err)
			return
		}
		h(w, r)
	}))
}

// ahead sends paths that only a contract's route can match directly to contracts, and others to mux: a search
// through the routes of a mux without a match costs as much as a call.
func ahead(contracts, mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if strings.HasPrefix(path, "/v1/") && !strings.HasPrefix(path, "/v1/webhooks/payments/") &&
			path != streamPath && path != unsubscribePath {
			contracts.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// plainPaths refuses paths with empty or dot segments, which http.ServeMux would redirect. No link of souk
// has such a path.
func plainPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if strings.HasPrefix(p, "/dev/") { // its tools may use any link
			p = strings.TrimSuffix(p, "/")
		}
		if p == "" || p[0] != '/' || path.Clean(p) != p {
			middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headAsGet answers HEAD as GET; net/http leaves out the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

// devProxy forwards requests to the tools of souk dev.
func devProxy(target *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		ModifyResponse: func(res *http.Response) error {
			res.Header.Del("X-Request-Id") // ours is already set
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			middleware.WriteProblem(w, r, errs.Wrap(err, errs.Unavailable, "the tools of souk dev do not answer"))
		},
	}
}

// routed sets the route of a handler that no contract describes.
func routed(route string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		middleware.From(r.Context()).Route = route
		h(w, r)
	}
}

func writeHealth(w http.ResponseWriter, environment string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status := "ok"
	if err != nil {
		status = "unavailable"
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintf(w, `{"status":%q,"environment":%q}`, status, environment) // an error: the prober is gone
}
