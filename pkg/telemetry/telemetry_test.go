package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/telemetry"
	"souk/pkg/telemetry/receiver"
	"souk/pkg/telemetrytest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func provider(t *testing.T, service string, cfg telemetry.Config, opts ...telemetry.Option) *telemetry.Provider {
	t.Helper()
	p, err := telemetry.New(context.Background(), service, cfg, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p
}

func TestSpansOfTwoServicesFormOneTrace(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	cfg := telemetry.Config{Endpoint: rec.URL(), SampleRatio: 1, BatchDelay: 10 * time.Millisecond, Version: "1.2.3"}
	gateway, order := provider(t, "gateway", cfg), provider(t, "order", cfg)

	ctx, outer := telemetry.Start(context.Background(), gateway.Tracer("gateway"), "POST /v1/checkout",
		attribute.String("http.request.method", "POST"))
	carrier := propagation.MapCarrier{}
	telemetry.Propagator().Inject(ctx, carrier)
	_, inner := order.Tracer("order").Start(telemetry.Propagator().Extract(context.Background(), carrier), "Checkout",
		trace.WithSpanKind(trace.SpanKindServer))
	telemetry.End(inner, errs.New(errs.OutOfStock, "sold out"))
	telemetry.End(outer, nil)

	spans := rec.WaitForTrace(t, telemetry.TraceID(ctx), func(s []receiver.Span) bool { return len(s) == 2 })
	require.Equal(t, "POST /v1/checkout", spans[0].Name)
	require.Equal(t, "gateway", spans[0].Service)
	require.Equal(t, "POST", spans[0].Attributes["http.request.method"])
	require.Empty(t, spans[0].ParentSpanID)
	require.Equal(t, "order", spans[1].Service)
	require.Equal(t, "server", spans[1].Kind)
	require.Equal(t, "error", spans[1].Status)
	require.Equal(t, spans[0].SpanID, spans[1].ParentSpanID)
	require.NoError(t, gateway.Shutdown(context.Background()))
	require.NoError(t, gateway.Shutdown(context.Background()))
}

func TestExportWithinAMachineIsNotCompressed(t *testing.T) {
	t.Parallel()
	encodings := make(chan string, 1)
	s := httptest.NewServer(
		http.HandlerFunc(
			func(_ http.ResponseWriter, r *http.Request) { encodings <- r.Header.Get("Content-Encoding") },
		),
	)
	defer s.Close()
	p := provider(t, "order", telemetry.Config{Endpoint: s.URL, SampleRatio: 1})
	_, span := p.Tracer("order").Start(context.Background(), "Checkout")
	span.End()
	require.NoError(t, p.Shutdown(context.Background())) // sends the span
	require.Empty(t, waittest.Receive(t, encodings))
}

func TestServicesOfOneProcessShareExporters(t *testing.T) {
	t.Parallel()
	rec := receiver.NewRecorder(receiver.Options{})
	p, err := telemetry.New(context.Background(), "souk", telemetry.Config{SampleRatio: 1, Version: "1"},
		telemetry.WithExporter(rec))
	require.NoError(t, err)
	order := p.ForService("order")
	ctx, outer := p.Tracer("x").Start(context.Background(), "outer")
	_, inner := order.Tracer("x").Start(ctx, "inner")
	inner.End()
	require.NoError(t, order.Shutdown(ctx))
	outer.End()
	require.NoError(t, p.Shutdown(ctx))
	trace, ok := rec.Trace(telemetry.TraceID(ctx))
	require.True(t, ok)
	require.Len(t, trace.Spans, 2)
	require.Equal(t, "souk", trace.Spans[0].Service)
	require.Equal(t, "order", trace.Spans[1].Service)
}

func TestUnsampledTraceIsPropagatedWithoutSpans(t *testing.T) {
	t.Parallel()
	rec := receiver.NewRecorder(receiver.Options{})
	for name, p := range map[string]*telemetry.Provider{
		"ratio 0":     provider(t, "a", telemetry.Config{BatchDelay: time.Millisecond}, telemetry.WithExporter(rec)),
		"no exporter": provider(t, "a", telemetry.Config{SampleRatio: 1}),
	} {
		tracer := p.Tracer("x")
		ctx, root := tracer.Start(context.Background(), "root")
		require.False(t, root.IsRecording(), name)
		h := http.Header{}
		telemetry.Propagator().Inject(ctx, propagation.HeaderCarrier(h))
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, h.Get("traceparent"), name)

		child, span := telemetry.Start(ctx, tracer, "child")
		require.Equal(t, ctx, child)
		require.Equal(t, root.SpanContext(), span.SpanContext())
		span.SetAttributes(attribute.Int("n", 1))
		span.RecordError(errors.New("x"))
		telemetry.End(span, errors.New("x"))
		require.NoError(t, p.Flush(context.Background()))
	}
	require.Empty(t, rec.Traces())
}

// The sampling decision is known before an unsampled trace gets an identity.
func TestStartSampledLeavesUnsampledTraceToTheCaller(t *testing.T) {
	t.Parallel()
	rec := receiver.NewRecorder(receiver.Options{})
	for ratio, sampled := range map[float64]bool{0: false, 1: true} {
		tracer := provider(t, "order", telemetry.Config{SampleRatio: ratio},
			telemetry.WithExporter(rec)).Tracer("order")
		ctx, span := telemetry.StartSampled(t.Context(), tracer, "Checkout")
		if sampled {
			require.True(t, span.IsRecording())
			span.End()
			continue
		}
		require.Nil(t, span)
		require.Empty(t, telemetry.TraceID(ctx))
		ctx, span = telemetry.Unsampled(ctx)
		require.Len(t, telemetry.TraceID(ctx), 32)
		require.False(t, span.SpanContext().IsSampled())
		_, inner := telemetry.StartSampled(ctx, tracer, "inner")
		require.Equal(t, span, inner, "a trace that has begun goes on")
	}
}

func TestCallersSamplingDecisionTakesPrecedence(t *testing.T) {
	t.Parallel()
	rec := receiver.NewRecorder(receiver.Options{})
	never := provider(t, "never", telemetry.Config{BatchDelay: time.Millisecond}, telemetry.WithExporter(rec))
	always := provider(t, "always", telemetry.Config{SampleRatio: 1, BatchDelay: time.Millisecond},
		telemetry.WithExporter(rec))
	sampled := extract("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	not := extract("00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00")

	_, span := never.Tracer("x").Start(sampled, "a")
	require.True(t, span.IsRecording())
	span.End()
	_, span = always.Tracer("x").Start(not, "b")
	require.False(t, span.IsRecording())
	span.End()
	ctx, span := always.Tracer("x").Start(not, "c", trace.WithNewRoot())
	require.True(t, span.IsRecording())
	require.NotEqual(t, "0af7651916cd43dd8448eb211c80319d", telemetry.TraceID(ctx))
	span.End()
	passing, err := telemetry.New(context.Background(), "passing", telemetry.Config{})
	require.NoError(t, err)
	_, span = passing.Tracer("x").Start(sampled, "d")
	require.False(t, span.IsRecording())
	require.True(t, span.SpanContext().IsSampled())
}

func TestSampleRatioIsTheShareOfSampledTraces(t *testing.T) {
	t.Parallel()
	p := provider(t, "a", telemetry.Config{SampleRatio: 0.25},
		telemetry.WithExporter(receiver.NewRecorder(receiver.Options{})))
	tracer, n := p.Tracer("x"), 0
	for range 4000 {
		_, span := tracer.Start(context.Background(), "root")
		if span.SpanContext().IsSampled() {
			n++
		}
		span.End()
	}
	require.InDelta(t, 1000, n, 200)
}

func TestUnreachableEndpointIsReportedOnceAndBlocksNothing(t *testing.T) {
	t.Parallel()
	var reports atomic.Int32
	p, err := telemetry.New(context.Background(), "a", telemetry.Config{Endpoint: "http://127.0.0.1:1", SampleRatio: 1},
		telemetry.WithErrorHandler(func(error) { reports.Add(1) }))
	require.NoError(t, err)
	start := time.Now()
	for range 3 {
		_, span := p.Tracer("x").Start(context.Background(), "root")
		span.End()
		require.NoError(t, p.Flush(context.Background()))
	}
	require.NoError(t, p.Shutdown(context.Background()))
	require.Less(t, time.Since(start), 4*time.Second)
	require.Equal(t, int32(1), reports.Load())
}

func TestInvalidConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []telemetry.Config{
		{SampleRatio: 2}, {SampleRatio: -1}, {Endpoint: "localhost:4318"}, {BatchDelay: -1},
	} {
		_, err := telemetry.New(context.Background(), "a", cfg)
		require.True(t, errs.Is(err, errs.Invalid), "%+v", cfg)
	}
	cfg := telemetry.Default()
	require.NoError(t, cfg.Validate())
}

func extract(traceparent string) context.Context {
	return telemetry.Propagator().Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
}

func TestUnsampledSpanAllocatesNothing(t *testing.T) {
	p := provider(t, "a", telemetry.Config{})
	tracer := p.Tracer("x")
	ctx := extract("00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00")
	name := "ord_1"
	allocs := testing.AllocsPerRun(100, func() {
		_, span := telemetry.Start(ctx, tracer, "child", attribute.String("id", name), attribute.Int("n", 1))
		telemetry.End(span, nil)
	})
	require.Zero(t, allocs)
}

func BenchmarkUnsampled(b *testing.B) {
	p, err := telemetry.New(context.Background(), "a", telemetry.Config{})
	require.NoError(b, err)
	tracer := p.Tracer("x")
	b.Run("child", func(b *testing.B) {
		ctx := extract("00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00")
		b.ReportAllocs()
		for b.Loop() {
			_, span := telemetry.Start(ctx, tracer, "child", attribute.String("id", "ord_1"))
			telemetry.End(span, nil)
		}
	})
	b.Run("root", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, span := telemetry.Start(context.Background(), tracer, "root")
			telemetry.End(span, nil)
		}
	})
}
