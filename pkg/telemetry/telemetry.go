// Package telemetry makes souk's traces: OpenTelemetry spans, sent by OTLP over HTTP.
//
// The sampling decision is made once, where a trace begins: at random by the sample ratio, or by the
// caller's traceparent. Unsampled work makes no spans and costs next to nothing. Its traceparent is
// still propagated, with the sampled flag off, so that every log line of a request has the same trace
// ID and no later service decides differently.
//
// The package has no global state: callers pass tracers on.
package telemetry

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"souk/pkg/errs"
	"souk/pkg/secrets"
)

// Config sets which traces are sampled, and where they are sent.
type Config struct {
	// Endpoint is the base URL of an OTLP/HTTP receiver, e.g. http://127.0.0.1:4318. If empty, nothing is sent.
	Endpoint string `yaml:"endpoint"`
	// Headers are sent with every request to the endpoint, e.g. for authorization.
	Headers map[string]secrets.Value `yaml:"headers"`
	// SampleRatio is the share, 0 to 1, of the traces beginning here that are sampled. A caller's decision
	// takes precedence. Default: 0.1. Zero samples none of them.
	SampleRatio float64 `yaml:"sample_ratio"`
	// BatchDelay is how long a finished span waits for others, to be sent with them. Zero means the default, 1 s.
	BatchDelay time.Duration `yaml:"batch_delay"`
	// QueueSize is the most finished spans that wait; any more are dropped. Zero means the default, 4096.
	QueueSize int `yaml:"queue_size"`
	// Timeout bounds one request to the endpoint. Zero means the default, 5 s.
	Timeout time.Duration `yaml:"timeout"`
	// Version is the service.version of the spans. If empty, they have none.
	Version string `yaml:"version"`
}

// Default returns the default settings.
func Default() Config {
	return Config{SampleRatio: 0.1, BatchDelay: time.Second, QueueSize: 4096, Timeout: 5 * time.Second}
}

// Validate checks the settings.
//
// Errors: invalid_argument.
func (c *Config) Validate() error {
	switch {
	case c.SampleRatio < 0 || c.SampleRatio > 1:
		return errs.InvalidField("sample_ratio", "must be from 0 to 1, not %v", c.SampleRatio)
	case c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "http://") && !strings.HasPrefix(c.Endpoint, "https://"):
		return errs.InvalidField("endpoint", "must be a URL such as http://127.0.0.1:4318, not %q", c.Endpoint)
	case c.BatchDelay < 0 || c.Timeout < 0 || c.QueueSize < 0:
		return errs.InvalidField("batch_delay", "batch_delay, timeout and queue_size must not be negative")
	}
	return nil
}

// Provider makes tracers. It is a trace.TracerProvider.
type Provider struct {
	trace.TracerProvider // for the interface's unexported method; Provider overrides the others

	sdk        *sdktrace.TracerProvider // nil if nothing is ever sampled
	ratio      float64
	version    string
	processors []sdktrace.SpanProcessor // made by New, shared by the providers of ForService
	shared     bool                     // made by ForService
}

// Option configures a provider.
type Option func(*options)

type options struct {
	exporters []sdktrace.SpanExporter
	failed    func(error)
}

// WithExporter sends spans to e as well as to the endpoint.
func WithExporter(e sdktrace.SpanExporter) Option {
	return func(o *options) { o.exporters = append(o.exporters, e) }
}

// WithErrorHandler calls f when sending to the endpoint begins to fail. It calls f again only after a
// send has succeeded in between. Spans that cannot be sent are dropped.
func WithErrorHandler(f func(error)) Option {
	return func(o *options) { o.failed = f }
}

// New returns the provider of a service. Without an endpoint or exporter it never makes a span. An
// endpoint that does not respond is not an error.
//
// Errors: invalid_argument (cfg is invalid).
func New(ctx context.Context, service string, cfg Config, opts ...Option) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	d := Default()
	if cfg.Endpoint != "" {
		timeout := or(cfg.Timeout, d.Timeout)
		to := []otlptracehttp.Option{
			otlptracehttp.WithEndpointURL(tracesURL(cfg.Endpoint)),
			otlptracehttp.WithTimeout(timeout),
			otlptracehttp.WithCompression(compression(cfg.Endpoint)),
		}
		if len(cfg.Headers) > 0 {
			to = append(to, otlptracehttp.WithHTTPClient(&http.Client{
				Transport: withHeaders{http.DefaultTransport, cfg.Headers}, Timeout: timeout,
			}))
		}
		exporter, err := otlptracehttp.New(ctx, to...)
		if err != nil {
			return nil, errs.Wrap(err, errs.Invalid, "telemetry: %v", err)
		}
		o.exporters = append(o.exporters, &reporting{SpanExporter: exporter, failed: o.failed})
	}
	p := &Provider{ratio: cfg.SampleRatio, version: cfg.Version}
	for _, e := range o.exporters {
		p.processors = append(p.processors, sdktrace.NewBatchSpanProcessor(e,
			sdktrace.WithBatchTimeout(or(cfg.BatchDelay, d.BatchDelay)),
			sdktrace.WithMaxQueueSize(or(cfg.QueueSize, d.QueueSize)),
			sdktrace.WithExportTimeout(or(cfg.Timeout, d.Timeout)),
		))
	}
	p.init(service)
	return p, nil
}

// withHeaders adds headers, with the values of now, to each request.
type withHeaders struct {
	http.RoundTripper
	headers map[string]secrets.Value
}

// RoundTrip sends a request.
func (t withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range t.headers {
		r.Header.Set(name, value.Get())
	}
	return t.RoundTripper.RoundTrip(r)
}

// compression returns gzip for a remote endpoint, and none within one machine, where it is not worth its
// processor time.
func compression(endpoint string) otlptracehttp.Compression {
	u, err := url.Parse(endpoint)
	if err != nil {
		return otlptracehttp.GzipCompression
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return otlptracehttp.NoCompression
	}
	return otlptracehttp.GzipCompression
}

// ForService returns a provider whose spans carry another service's name, for several services in one
// process. It shares its exporters with p and stops when p is shut down.
func (p *Provider) ForService(service string) *Provider {
	c := &Provider{ratio: p.ratio, version: p.version, processors: p.processors, shared: true}
	c.init(service)
	return c
}

func (p *Provider) init(service string) {
	if len(p.processors) == 0 {
		p.ratio = 0
		return
	}
	attrs := []attribute.KeyValue{semconv.ServiceName(service)}
	if p.version != "" {
		attrs = append(attrs, semconv.ServiceVersion(p.version))
	}
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // tracer has sampled already
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
	}
	for _, sp := range p.processors {
		opts = append(opts, sdktrace.WithSpanProcessor(sp))
	}
	p.sdk = sdktrace.NewTracerProvider(opts...)
}

// reporting reports a failing exporter once. OpenTelemetry would write every failure to standard error.
type reporting struct {
	sdktrace.SpanExporter
	failed func(error)
	down   atomic.Bool
}

// ExportSpans sends the spans. It drops them if that fails, and returns nil all the same.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if was := r.down.Swap(err != nil); err != nil && !was && r.failed != nil {
		r.failed(err)
	}
	return nil
}

// Tracer returns the tracer of a package. The name is the import path or the service.
func (p *Provider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	t := &tracer{ratio: p.ratio}
	if p.sdk != nil {
		t.sdk = p.sdk.Tracer(name, opts...)
	}
	return t
}

// Flush sends the waiting finished spans.
func (p *Provider) Flush(ctx context.Context) error {
	if p.sdk == nil {
		return nil
	}
	return p.sdk.ForceFlush(ctx)
}

// Shutdown sends the waiting finished spans, for at most 5 s or until ctx ends, and stops the provider.
// It may be called twice. On a provider of ForService it does nothing.
func (p *Provider) Shutdown(ctx context.Context) error {
	if p.sdk == nil || p.shared {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return p.sdk.Shutdown(ctx)
}

// Start begins a span as tracer.Start does, but costs nothing in an unsampled trace, since it then
// builds neither attributes nor options.
func Start(
	ctx context.Context, t trace.Tracer, name string, attrs ...attribute.KeyValue,
) (context.Context, trace.Span) {
	if span := trace.SpanFromContext(ctx); !span.IsRecording() {
		if sc := span.SpanContext(); sc.IsValid() && !sc.IsSampled() {
			return ctx, span
		}
	}
	if len(attrs) == 0 {
		return t.Start(ctx, name)
	}
	// The clone lets the caller's list stay off the heap.
	return t.Start(ctx, name, trace.WithAttributes(slices.Clone(attrs)...))
}

// End records err on the span, unless it is nil, and ends the span.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, string(errs.CodeOf(err)))
		span.RecordError(err)
	}
	span.End()
}

// Propagator returns the propagator of traces between processes: W3C traceparent and tracestate.
func Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// TraceID returns the ID of the trace that ctx belongs to, or "" if it belongs to none.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// tracer makes sampling decisions. It uses the SDK for sampled traces only.
type tracer struct {
	trace.Tracer // for the interface's unexported method; tracer overrides the other

	sdk   trace.Tracer
	ratio float64
}

// Start begins a span. In an unsampled trace it only passes on the trace's identity.
func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.startSampled(ctx, name, opts...)
	if span == nil {
		return Unsampled(ctx)
	}
	return ctx, span
}

// startSampled is Start, but returns a nil span instead of beginning an unsampled trace.
func (t *tracer) startSampled(
	ctx context.Context, name string, opts ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	if parent.IsValid() && wantsRoot(opts) {
		parent = trace.SpanContext{}
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	if parent.IsValid() {
		if parent.IsSampled() && t.sdk != nil {
			return t.sdk.Start(ctx, name, opts...)
		}
		// A sampled trace keeps its flag in a process without an exporter, since other processes record it.
		return ctx, trace.SpanFromContext(ctx)
	}
	if t.sdk != nil && t.ratio > 0 && rand.Float64() < t.ratio { //nolint:gosec // not a secret
		return t.sdk.Start(ctx, name, opts...)
	}
	return ctx, nil
}

// StartSampled begins a span as t.Start does, but returns a nil span instead of beginning an unsampled trace.
// A caller that then needs a trace identity calls [Unsampled].
func StartSampled(
	ctx context.Context, t trace.Tracer, name string, opts ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	if own, ok := t.(*tracer); ok {
		return own.startSampled(ctx, name, opts...)
	}
	return t.Start(ctx, name, opts...)
}

// Unsampled begins a trace that is not recorded.
func Unsampled(ctx context.Context) (context.Context, trace.Span) {
	span := &unsampled{sc: trace.NewSpanContext(trace.SpanContextConfig{TraceID: newTraceID(), SpanID: newSpanID()})}
	return trace.ContextWithSpan(ctx, span), span
}

// unsampled is the identity of a trace that is not recorded.
type unsampled struct {
	noop.Span
	sc trace.SpanContext
}

// SpanContext returns the identity.
func (s *unsampled) SpanContext() trace.SpanContext { return s.sc }

func wantsRoot(opts []trace.SpanStartOption) bool {
	if len(opts) == 0 {
		return false
	}
	cfg := trace.NewSpanStartConfig(opts...)
	return cfg.NewRoot()
}

func newTraceID() (id trace.TraceID) {
	hi, lo := rand.Uint64(), rand.Uint64()|1 //nolint:gosec // not a secret; never zero
	for i := range 8 {
		id[i], id[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	return id
}

func newSpanID() (id trace.SpanID) {
	n := rand.Uint64() | 1 //nolint:gosec // not a secret; never zero
	for i := range 8 {
		id[i] = byte(n >> (8 * i))
	}
	return id
}

func tracesURL(endpoint string) string {
	const path = "/v1/traces"
	endpoint = strings.TrimSuffix(endpoint, "/")
	if strings.HasSuffix(endpoint, path) {
		return endpoint
	}
	return endpoint + path
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
