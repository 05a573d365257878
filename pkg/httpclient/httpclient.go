// Package httpclient creates HTTP clients for calls to external systems. They have a timeout, a breaker per target,
// spans and metrics, and return coded errors.
package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"souk/pkg/errs"
	"souk/pkg/metric"
	"souk/pkg/telemetry"
)

// Breaker stops calls to a target that does not answer. *breaker.Registry implements it.
type Breaker interface {
	Call(ctx context.Context, target string, f func() error) error
}

// Options describe a client.
type Options struct {
	// Breakers holds the target's breaker; nil disables it. Connection errors, timeouts and the statuses 502 to 504
	// count as failures.
	Breakers Breaker
	// Timeout bounds a call, from the dial to the end of the body. 0 means 10 s.
	Timeout time.Duration
	// Tracers creates the spans. If it is nil there are no spans, but the traceparent is still passed on.
	Tracers trace.TracerProvider
	// Metrics registers http_client_request_total (by target, method and status) and
	// http_client_request_duration_seconds (by target and method); nil disables them.
	Metrics prometheus.Registerer
	// TLS configures TLS; nil means that the system's certificates verify the server.
	TLS *tls.Config
	// Guard is for targets that users choose: it returns an error if the client must not connect to an address, such as
	// [PublicOnly]. The client then uses no proxy. Nil allows all addresses.
	Guard func(netip.Addr) error
	// Resolver resolves names. Nil means the system's.
	Resolver *net.Resolver
	// KeepRedirects returns redirects to the caller instead of following them.
	KeepRedirects bool
}

// New returns a client for the target, a short name such as "stripe". It fails if a metric cannot be registered.
//
// A call fails with errs.Timeout if it took too long and its outcome is unknown, and with errs.Unavailable if the
// connection failed or the breaker is open. A response is not an error, whatever its status.
func New(target string, o Options) (*http.Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Tracers == nil {
		o.Tracers = noop.NewTracerProvider()
	}
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second, Resolver: o.Resolver}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       o.TLS,
		TLSHandshakeTimeout:   3 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if o.Guard != nil {
		guarded(base, dialer, o.Guard)
	}
	rt := &transport{target: target, base: base, breakers: o.Breakers}
	rt.next = otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(o.Tracers),
		otelhttp.WithPropagators(telemetry.Propagator()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + target }))
	var err error
	if rt.total, err = metric.Register(o.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_client_request_total",
		Help: "HTTP calls to other parties; status is the answer's, or the error's code.",
	},
		[]string{"target", "method", "status"})); err != nil {
		return nil, err
	}
	if rt.duration, err = metric.Register(o.Metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_client_request_duration_seconds",
		Help:    "Time until an answer's headers.",
		Buckets: metric.DurationBuckets(),
	},
		[]string{"target", "method"})); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: rt, Timeout: o.Timeout}
	if o.KeepRedirects {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client, nil
}

type transport struct {
	target   string
	base     *http.Transport
	next     http.RoundTripper
	breakers Breaker
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// errAnswered reports to the breaker a response that counts as a failure.
var errAnswered = errs.New(errs.Unavailable, "the target answered that it cannot")

// RoundTrip sends the request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	var resp *http.Response
	call := func() error {
		var err error
		resp, err = t.next.RoundTrip(r) //nolint:bodyclose // the caller closes it
		switch {
		case err != nil:
			return t.code(err)
		case resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout:
			return errAnswered
		default:
			return nil
		}
	}
	var err error
	if t.breakers == nil {
		err = call()
	} else {
		err = t.breakers.Call(r.Context(), t.target, call)
	}
	if resp != nil {
		err = nil
	}
	t.duration.WithLabelValues(t.target, metric.Method(r.Method)).Observe(time.Since(start).Seconds())
	if err != nil {
		if resp == nil && r.Body != nil {
			// A RoundTripper must close the body even if the breaker is open. The call has failed already.
			_ = r.Body.Close()
		}
		t.total.WithLabelValues(t.target, metric.Method(r.Method), string(errs.CodeOf(err))).Inc()
		return nil, err
	}
	t.total.WithLabelValues(t.target, metric.Method(r.Method), strconv.Itoa(resp.StatusCode)).Inc()
	return resp, nil
}

func (t *transport) code(err error) error {
	var netErr net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, os.ErrDeadlineExceeded) {
		return errs.Wrap(err, errs.Timeout, "%s did not answer in time", t.target)
	}
	var op *net.OpError
	if errors.As(err, &netErr) && netErr.Timeout() && !(errors.As(err, &op) && op.Op == "dial") {
		return errs.Wrap(err, errs.Timeout, "%s did not answer in time", t.target)
	}
	return errs.Wrap(err, errs.Unavailable, "%s cannot be reached", t.target).WithRetryAfter(time.Second)
}

// CloseIdleConnections implements http.Client.CloseIdleConnections.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }
