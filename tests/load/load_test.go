package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

func TestVisitorsArriveAtThePlannedRates(t *testing.T) {
	t.Parallel()
	plan := []stage{{10 * time.Second, 100}, {10 * time.Second, 100}, {10 * time.Second, 0}}
	var by [3]int
	last := time.Duration(0)
	for at := range arrivals(plan, 1) {
		require.GreaterOrEqual(t, at, last)
		require.Less(t, at, length(plan))
		last = at
		by[at/(10*time.Second)]++
	}
	require.InDelta(t, 500, by[0], 100, "from 0 to 100 a second")
	require.InDelta(t, 1000, by[1], 150)
	require.InDelta(t, 500, by[2], 100, "from 100 to 0 a second")
	require.Equal(t, slices.Collect(arrivals(plan, 1)), slices.Collect(arrivals(plan, 1)), "the seed decides")
	require.NotEqual(t, slices.Collect(arrivals(plan, 1)), slices.Collect(arrivals(plan, 2)))
}

func TestArrivalsOfARampComeMoreOftenAtItsEnd(t *testing.T) {
	t.Parallel()
	first, second := 0, 0
	for at := range arrivals([]stage{{20 * time.Second, 100}}, 3) {
		if at < 10*time.Second {
			first++
		} else {
			second++
		}
	}
	require.InDelta(t, 3, float64(second)/float64(first), 0.6)
}

// handler answers readiness checks, and all other requests with its function.
type handler struct {
	ready  atomic.Bool
	answer http.HandlerFunc
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/health/ready":
		h.answer(w, r)
	case !h.ready.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func serve(t *testing.T, answer http.HandlerFunc) (*handler, string) {
	t.Helper()
	h := &handler{answer: answer}
	h.ready.Store(true)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, s.URL
}

func connect(t *testing.T, urls ...string) *client {
	t.Helper()
	c := newClient(urls...)
	t.Cleanup(c.close)
	return c
}

// TestLatencyCountsFromThePlannedTime stalls a souk that answers one request at a time. A client that waits for each
// answer would see one slow request. Here all that were due meanwhile are slow.
func TestLatencyCountsFromThePlannedTime(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	var mu sync.Mutex
	var once sync.Once
	_, url := serve(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		once.Do(func() { <-time.After(stall) })
	})
	c := connect(t, url)
	visitors := &crowd{client: c, think: 1, visit: func(ctx context.Context, v *visitor) {
		v.do(ctx, request{method: http.MethodGet, path: "/"}, nil)
	}}
	require.NoError(t, visitors.run(t.Context(), steady(200, 500*time.Millisecond), 4))
	all := c.recorder.take().all()
	require.Greater(t, all.latency.TotalCount(), int64(50))
	require.Greater(t, all.quantile(70), stall/10, "those who came during the stall waited for its end")
	require.Greater(t, visitors.most.Load(), int64(20))
}

func TestAnswersAreSuccessesRefusalsOrFailures(t *testing.T) {
	t.Parallel()
	_, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sold-out":
			w.WriteHeader(http.StatusConflict)
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"unavailable","detail":"order is away"}`))
		}
	})
	c := connect(t, url)
	send := func(r request) bool { return c.send(t.Context(), time.Now(), r, nil) }
	require.True(t, send(request{method: http.MethodGet, path: "/"}))
	require.False(t, send(request{method: http.MethodPost, path: "/sold-out", accept: []int{http.StatusConflict}}))
	require.Equal(t, 0, c.recorder.take().all().failed, "an expected refusal is no failure")

	require.False(t, send(request{method: http.MethodPost, path: "/sold-out"}))
	require.False(t, send(request{method: http.MethodGet, path: "/down"}))
	require.False(t, send(request{method: http.MethodPost, path: "/down", key: "k"}))
	require.False(t, send(request{method: http.MethodPost, path: "/down"}))
	r := c.recorder.take()
	require.Equal(t, 4, r.all().failed)
	require.Equal(t, 2, r.all().lost, "a GET, and a POST with a key, may be sent again")
	require.Contains(t, r.failures(), "2 × POST /down: 503 unavailable: order is away")
}

func TestRequestsGoToGatewaysThatAreReady(t *testing.T) {
	t.Parallel()
	var asked [2]atomic.Int64
	answer := func(i int) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { asked[i].Add(1) }
	}
	first, firstURL := serve(t, answer(0))
	_, secondURL := serve(t, answer(1))
	c := connect(t, firstURL)
	send := func() { c.send(t.Context(), time.Now(), request{method: http.MethodGet, path: "/"}, nil) }
	c.gateways.add(secondURL)
	waittest.Until(t, func() bool { send(); return asked[1].Load() > 0 }, "the second gateway gets no requests")
	first.ready.Store(false)
	waittest.Until(t, func() bool {
		a, b := c.gateways.next(), c.gateways.next()
		return a == secondURL && b == secondURL
	}, "the first gateway stays")
	before := asked[0].Load()
	for range 10 {
		send()
	}
	require.Equal(t, before, asked[0].Load())
	require.Equal(t, 0, c.recorder.take().all().failed)
}

func TestBrokenObjectivesAreNamed(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	for i := range 1000 {
		r.record("GET /quick", 10*time.Millisecond, outcome{})
		latency := 150 * time.Millisecond
		if i >= 980 {
			latency = 600 * time.Millisecond
		}
		r.record("POST /slow", latency, outcome{})
	}
	res := r.take()
	require.Empty(t, res.broken(objectives{p95: 200 * time.Millisecond, p99: time.Second, errors: 0.001}))
	broken := strings.Join(res.broken(objective, "POST /slow", "GET /absent"), "\n")
	require.Contains(t, broken, "POST /slow: P99 is 600 ms")
	require.Contains(t, broken, "GET /absent: there was none")
	require.NotContains(t, broken, "P95")
	for range 2 {
		r.record("GET /quick", time.Millisecond, outcome{failure: "500 internal", retryable: true})
	}
	r.drop()
	broken = strings.Join(r.take().broken(objective), "\n")
	require.Contains(t, broken, "100.00 % of 2 failed")
	require.Contains(t, broken, "1 visitors were turned away")
}

func TestAcknowledgedOrdersMustBeThereOnce(t *testing.T) {
	t.Parallel()
	p := newPlaced()
	p.add("ord_1", "ana")
	p.add("ord_2", "rui")
	there := []order{{"ord_1", "ana", "confirmed"}, {"ord_2", "rui", "confirmed"}, {"ord_3", "rui", "cancelled"}}
	require.NoError(t, p.compare(there))
	require.ErrorContains(t, p.compare(there[:1]), "1 are not there, and 0 customers have several: ord_2")
	there[2].Status = "confirmed"
	require.ErrorContains(t, p.compare(there), "0 are not there, and 1 customers have several: rui")
	there[0].Status = "pending"
	require.ErrorContains(t, p.compare(there), "1 are not there")
}

func TestReportFailsWithWhatIsBroken(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := &report{out: &out, began: time.Now()}
	require.NoError(t, r.err())
	r.begin("one")
	res := newResult()
	res.of("GET /").add(time.Millisecond, outcome{failure: "500 internal"})
	r.table("a plan", res, res.broken(objective))
	require.ErrorContains(t, r.err(), "one: all requests: 100.00 % of 1 failed")
	require.Contains(t, out.String(), "1 × GET /: 500 internal")
}

func TestProcessesAreSortedIntoParts(t *testing.T) {
	t.Parallel()
	s := &souk{split: true, state: state{Databases: map[string]string{"order": "postgres://…"}}}
	for args, part := range map[string]string{
		"postgres: order order [local] idle":    "postgres/order",
		"postgres: walwriter ":                  "postgres",
		"souk run --target=cart --config=x":     "cart",
		"souk dev --data-dir x --split":         "nats",
		"redis-server unixsocket:/x/redis.sock": "redis",
	} {
		name := strings.FieldsFunc(args, func(r rune) bool { return r == ':' || r == ' ' })[0]
		require.Equal(t, part, s.part(proc{name: name, args: args}), args)
	}
}
