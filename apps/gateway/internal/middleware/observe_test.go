package middleware

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/logging"
	"souk/pkg/metric"
	"souk/pkg/telemetry"
)

// TestAccessLogHasTheTimeOfTheAnswersEnd reads the time from the injected clock.
func TestAccessLogHasTheTimeOfTheAnswersEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logging.New(logging.Default(), &out)
	require.NoError(t, err)
	metrics, err := metric.NewHTTP(prometheus.NewRegistry())
	require.NoError(t, err)
	c := clock.NewManual(noon)
	wait := func(http.ResponseWriter, *http.Request) { c.Advance(1500 * time.Millisecond) }
	askAt(c, wait, httptest.NewRequest(http.MethodGet, "/", nil), Record(metrics, nil, log.Named("gateway"), c))
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), "%s", out.String())
	require.Equal(t, "2026-05-04T12:00:01.5Z", line["time"])
	require.InDelta(t, 1.5, line["seconds"], 0)
	require.Equal(t, "192.0.2.1", line["client"])
	require.Equal(t, "gateway", line["logger"])
	require.Equal(t, "request", line["message"])
}

// TestAccessLogHasOneLinePerRequest, with the same fields for every outcome, and a trace ID for sampled
// traces.
func TestAccessLogHasOneLinePerRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		sampled bool
		want    map[string]any
	}{
		"answered": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				From(r.Context()).Route = "/v1/products/{id}"
				From(r.Context()).Actor.ID = "usr_1"
				_, _ = w.Write([]byte("four"))
			},
			want: map[string]any{
				"level": "info", "route": "/v1/products/{id}", "status": 200.0, "bytes": 4.0, "actor": "usr_1",
			},
		},
		"refused": {
			handler: func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, errs.New(errs.NotFound, "no")) },
			want:    map[string]any{"level": "info", "route": "unmatched", "status": 404.0, "code": "not_found"},
		},
		"failed": {
			handler: func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, errs.New(errs.Internal, "no")) },
			sampled: true,
			want:    map[string]any{"level": "warn", "status": 500.0, "code": "internal"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log, err := logging.New(logging.Default(), &out)
			require.NoError(t, err)
			metrics, err := metric.NewHTTP(prometheus.NewRegistry())
			require.NoError(t, err)
			// The provider exports nothing, but keeps the sampled flag.
			provider, err := telemetry.New(t.Context(), "gateway", telemetry.Default())
			require.NoError(t, err)
			r := httptest.NewRequest("BREW", "/v1/products/prd_1?query=secret", nil)
			flags := "00"
			if c.sampled {
				flags = "01"
			}
			r.Header.Set("Traceparent", "00-0198c5f27e6b7c1f8a3d5e9b04c7d21a-0198c5f27e6b7c1f-"+flags)
			r.Header.Set("X-Request-Id", "request-0001")
			ask(c.handler, r, Trace(provider.Tracer("gateway")), Record(metrics, nil, log, clock.System{}))

			var line map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &line), "%s", out.String())
			for key, value := range c.want {
				require.Equal(t, value, line[key], key)
			}
			require.Equal(t, "other", line["method"])
			require.Equal(t, "request-0001", line["request_id"])
			require.Equal(t, c.sampled, line["trace_id"] != nil)
			require.NotContains(t, out.String(), "secret")
		})
	}
}

// TestTracestateIsDropped: it is free text and would be stored with every event.
func TestTracestateIsDropped(t *testing.T) {
	t.Parallel()
	provider, err := telemetry.New(t.Context(), "gateway", telemetry.Default())
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/v1/products", nil)
	r.Header.Set("Traceparent", "00-0198c5f27e6b7c1f8a3d5e9b04c7d21a-0198c5f27e6b7c1f-01")
	r.Header.Set("Tracestate", "card=4111111111111111")
	var seen trace.SpanContext
	ask(func(_ http.ResponseWriter, r *http.Request) { seen = trace.SpanContextFromContext(r.Context()) }, r,
		Trace(provider.Tracer("gateway")), Timeout(time.Minute, nil))
	require.Equal(t, "0198c5f27e6b7c1f8a3d5e9b04c7d21a", seen.TraceID().String())
	require.Empty(t, seen.TraceState().String())
}
