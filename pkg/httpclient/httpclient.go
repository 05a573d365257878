// Package httpclient makes the HTTP clients with which souk calls other parties: with a time limit, a
// breaker per target, a span and metrics, and errors that have a code.
package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
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

// Breaker stops calls to a target that does not answer; *breaker.Registry is one.
type Breaker interface {
	Do(ctx context.Context, target string, f func() error) error
}

// Options describe a client.
type Options struct {
	// Breakers holds the target's breaker; nil: none. Connections that fail, timeouts and the statuses
	// 502 to 504 count as failures.
	Breakers Breaker
	// Timeout bounds a call, from the dial to the end of the body. Default: 10 s.
	Timeout time.Duration
	// Tracers makes the spans; nil: none, but a traceparent is passed on.
	Tracers trace.TracerProvider
	// Metrics takes http_client_request_total and http_client_request_duration_seconds by target,
	// method and status; nil: none.
	Metrics prometheus.Registerer
	// TLS changes how a server is checked; nil: by the system's certificates.
	TLS *tls.Config
	// KeepRedirects hands redirects to the caller instead of following them.
	KeepRedirects bool
}

// New returns a client for the target, a short name such as "stripe". An error of a call is
// errs.Timeout when it is unknown what became of it, and errs.Unavailable when there was no connection,
// it broke, or the breaker is open. An answer, whatever its status, is no error. It fails when a metric
// cannot be registered.
func New(target string, o Options) (*http.Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Tracers == nil {
		o.Tracers = noop.NewTracerProvider()
	}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       o.TLS,
		TLSHandshakeTimeout:   3 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	rt := &transport{target: target, base: base, breakers: o.Breakers}
	rt.next = otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(o.Tracers),
		otelhttp.WithPropagators(telemetry.Propagator()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + target }))
	var err error
	if rt.total, err = metric.Register(o.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_client_request_total", Help: "HTTP calls to other parties; status is the answer's, or the error's code."},
		[]string{"target", "method", "status"})); err != nil {
		return nil, err
	}
	if rt.duration, err = metric.Register(o.Metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_client_request_duration_seconds", Help: "Time until an answer's headers.", Buckets: metric.DurationBuckets()},
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

// errAnswered tells the breaker of an answer that counts as a failure.
var errAnswered = errs.New(errs.Unavailable, "the target answered that it cannot")

// RoundTrip sends the request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	var resp *http.Response
	call := func() error {
		var err error
		resp, err = t.next.RoundTrip(r) //nolint:bodyclose // handed on
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
		err = t.breakers.Do(r.Context(), t.target, call)
	}
	if resp != nil {
		err = nil
	}
	t.duration.WithLabelValues(t.target, metric.Method(r.Method)).Observe(time.Since(start).Seconds())
	if err != nil {
		if resp == nil && r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the body, also when the breaker is open
		}
		t.total.WithLabelValues(t.target, metric.Method(r.Method), string(errs.CodeOf(err))).Inc()
		return nil, err
	}
	t.total.WithLabelValues(t.target, metric.Method(r.Method), strconv.Itoa(resp.StatusCode)).Inc()
	return resp, nil
}

func (t *transport) code(err error) error {
	var netErr net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errs.Wrap(err, errs.Timeout, "%s did not answer in time", t.target)
	}
	var op *net.OpError
	if errors.As(err, &netErr) && netErr.Timeout() && !(errors.As(err, &op) && op.Op == "dial") {
		return errs.Wrap(err, errs.Timeout, "%s did not answer in time", t.target)
	}
	return errs.Wrap(err, errs.Unavailable, "%s cannot be reached", t.target).WithRetryAfter(time.Second)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }
