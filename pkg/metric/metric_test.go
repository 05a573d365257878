package metric_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"souk/pkg/metric"
)

func TestRegistryHasRuntimeAndProcessMetrics(t *testing.T) {
	t.Parallel()
	n, err := testutil.GatherAndCount(metric.NewRegistry(), "go_goroutines", "process_open_fds", "go_build_info")
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func TestServicesShareARegistryAndUsersShareAMetric(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	for _, service := range []string{"order", "cart"} {
		h, err := metric.NewHTTP(metric.ForService(r, service))
		require.NoError(t, err)
		again, err := metric.NewHTTP(metric.ForService(r, service))
		require.NoError(t, err)
		one := metric.Request{Method: "GET", Route: "/x", Status: 200, Duration: time.Millisecond, ResponseBytes: 10}
		h.Observe(one)
		again.Observe(one)
	}
	require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(`
# HELP http_request_total HTTP requests that were answered.
# TYPE http_request_total counter
http_request_total{method="GET",route="/x",service="cart",status="200"} 2
http_request_total{method="GET",route="/x",service="order",status="200"} 2
`), "http_request_total"))
}

func TestRegisterRefusesDifferentMetricWithSameName(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	_, err := metric.Register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total", Help: "a"}))
	require.NoError(t, err)
	_, err = metric.Register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total", Help: "b"}))
	require.Error(t, err)
	_, err = metric.Register[prometheus.Collector](nil, prometheus.NewCounter(prometheus.CounterOpts{Name: "b_total"}))
	require.NoError(t, err)
}

func TestMiddlewareCountsByRoute(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	h, err := metric.NewHTTP(r)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "12345")
		w.(http.Flusher).Flush()
	})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := httptest.NewServer(h.Middleware(nil)(mux))
	t.Cleanup(srv.Close)
	for i := range 3 {
		resp, err := srv.Client().
			Post(fmt.Sprintf("%s/items/%d", srv.URL, i), "text/plain", strings.NewReader("0123456789"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	req, err := http.NewRequest("BREW", srv.URL+"/nowhere", nil)
	require.NoError(t, err)
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, err = srv.Client().Get(srv.URL + "/panic")
	require.Error(t, err)
	srv.Close() // waits for the handlers: a flushed response arrives before its handler returns

	require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(`
# HELP http_request_total HTTP requests that were answered.
# TYPE http_request_total counter
http_request_total{method="POST",route="POST /items/{id}",status="201"} 3
http_request_total{method="other",route="unmatched",status="404"} 1
http_request_total{method="GET",route="GET /panic",status="500"} 1
`), "http_request_total"))
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "http_request_size_bytes" {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "POST" {
					require.InDelta(t, 30, m.GetHistogram().GetSampleSum(), 0)
				}
			}
		}
	}
}

func TestSampledTraceIsTheExemplarOfItsBucket(t *testing.T) {
	t.Parallel()
	reg := metric.NewRegistry()
	h, err := metric.NewHTTP(reg)
	require.NoError(t, err)
	one := metric.Request{Method: "GET", Route: "/x", Status: 200, Duration: 150 * time.Millisecond}
	h.Observe(one)
	one.TraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	h.Observe(one)
	srv := httptest.NewServer(metric.Handler(reg))
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(body),
		`http_request_duration_seconds_bucket{method="GET",route="/x",status="200",le="0.2"} 2 `+
			`# {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.15`)
	require.Contains(t, string(body), "# EOF", "OpenMetrics")
}

func BenchmarkObserve(b *testing.B) {
	h, err := metric.NewHTTP(prometheus.NewRegistry())
	require.NoError(b, err)
	request := metric.Request{
		Method: "GET", Route: "/v1/products/{id}", Status: 200, Duration: time.Millisecond, ResponseBytes: 1025,
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(request)
	}
}

func ExampleHTTP_Middleware() {
	registry := metric.NewRegistry()
	h, err := metric.NewHTTP(metric.ForService(registry, "gateway"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/products/{id}",
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h.Middleware(nil)(
		mux,
	).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/products/prd_1", nil))
	n, err := testutil.GatherAndCount(registry, "http_request_total")
	fmt.Println(n, err)
	// Output: 1 <nil>
}
