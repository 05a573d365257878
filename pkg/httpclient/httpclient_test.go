package httpclient_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/breaker"
	"souk/pkg/errs"
	"souk/pkg/httpclient"
	"souk/pkg/telemetry"
	"souk/pkg/telemetry/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, o httpclient.Options, h http.HandlerFunc) (*http.Client, string) {
	t.Helper()
	c, err := httpclient.New("stripe", o)
	require.NoError(t, err)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(c.CloseIdleConnections)
	return c, srv.URL
}

func get(ctx context.Context, c *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestCallsAreTracedAndCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	rec := receiver.NewRecorder(receiver.Options{})
	p, err := telemetry.New(context.Background(), "payment", telemetry.Config{SampleRatio: 1},
		telemetry.WithExporter(rec))
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	var traceparent atomic.Value
	c, url := setup(t, httpclient.Options{Tracers: p, Metrics: reg}, func(w http.ResponseWriter, r *http.Request) {
		traceparent.Store(r.Header.Get("traceparent"))
		w.WriteHeader(http.StatusTeapot)
	})
	ctx, span := telemetry.Start(context.Background(), p.Tracer("x"), "pay")
	status, err := get(ctx, c, url)
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, status)
	span.End()
	require.NoError(t, p.Flush(ctx))
	require.Contains(t, traceparent.Load(), telemetry.TraceID(ctx))
	trace, ok := rec.Trace(telemetry.TraceID(ctx))
	require.True(t, ok)
	require.Len(t, trace.Spans, 2)
	require.Equal(t, "GET stripe", trace.Spans[1].Name)
	require.Equal(t, "client", trace.Spans[1].Kind)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP http_client_request_total HTTP calls to other parties; status is the answer's, or the error's code.
# TYPE http_client_request_total counter
http_client_request_total{method="GET",status="418",target="stripe"} 1
`), "http_client_request_total"))
}

func TestSlowServerTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c, url := setup(
		t,
		httpclient.Options{Timeout: 50 * time.Millisecond},
		func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		},
	)
	defer close(release)
	_, err := get(context.Background(), c, url)
	require.Equal(t, errs.Timeout, errs.CodeOf(err), "%v", err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = get(ctx, c, url)
	require.Equal(t, errs.Timeout, errs.CodeOf(err), "%v", err)
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	c, err := httpclient.New("stripe", httpclient.Options{})
	require.NoError(t, err)
	_, err = get(context.Background(), c, "http://127.0.0.1:1")
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
}

func TestFailuresOpenTheBreaker(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c, url := setup(
		t,
		httpclient.Options{Breakers: breaker.NewRegistry(breaker.Options{MinRequests: 4}, nil)},
		func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	)
	for range 4 {
		status, err := get(context.Background(), c, url)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, status)
	}
	_, err := get(context.Background(), c, url)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	require.ErrorIs(t, err, breaker.ErrOpen)
	require.Equal(t, int32(4), calls.Load())
}

func TestRedirectsAreFollowedOrKept(t *testing.T) {
	t.Parallel()
	redirect := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}
	c, url := setup(t, httpclient.Options{}, redirect)
	status, err := get(context.Background(), c, url)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	c, url = setup(t, httpclient.Options{KeepRedirects: true}, redirect)
	status, err = get(context.Background(), c, url)
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, status)
}

func ExampleNew() {
	client, err := httpclient.New("stripe", httpclient.Options{
		Breakers: breaker.NewRegistry(breaker.Options{}, nil),
		Timeout:  2 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Get("http://127.0.0.1:1/charges")
	fmt.Println(errs.CodeOf(err))
	// Output: unavailable
}
