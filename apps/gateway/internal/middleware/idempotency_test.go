package middleware

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/rpc"
)

// memoryKeys implements Keys with a map; the real store has its own test of the same rules.
type memoryKeys struct {
	mu      sync.Mutex
	entries map[string]*Claim
	ttl     time.Duration // of the last answer
}

// allowance is an Allowance of a number of bytes for everybody.
type allowance struct{ left int }

func (a *allowance) Take(_ context.Context, _ string, bytes int) (bool, error) {
	if bytes > a.left {
		return false, nil
	}
	a.left -= bytes
	return true, nil
}

func counters(t *testing.T) *Metrics {
	t.Helper()
	m, err := NewMetrics(nil)
	require.NoError(t, err)
	return m
}

// idempotency returns an Idempotency that keeps answers for an hour or a minute.
func idempotency(t *testing.T, keys Keys, whole Allowance) *Idempotency {
	t.Helper()
	return &Idempotency{
		Keys: keys, Long: Retention{TTL: time.Hour, Whole: whole}, Short: Retention{TTL: time.Minute, Whole: whole},
		Metrics: counters(t), Logger: zap.NewNop(),
	}
}

func (m *memoryKeys) Claim(_ context.Context, key, bodyHash, _ string, _ time.Duration) (Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil {
		return Claim{BodyHash: e.BodyHash, Answer: e.Answer}, nil
	}
	m.entries[key] = &Claim{BodyHash: bodyHash}
	return Claim{Owned: true}, nil
}
func (m *memoryKeys) Renew(context.Context, string, string, time.Duration) error { return nil }
func (m *memoryKeys) Keep(
	_ context.Context, key, _, bodyHash string, answer Sealed, ttl time.Duration,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[key] = &Claim{BodyHash: bodyHash, Answer: answer}
	m.ttl = ttl
	return nil
}
func (m *memoryKeys) Release(_ context.Context, key, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
	return nil
}

func TestIdempotencyKeyReplaysTheFirstAnswer(t *testing.T) {
	t.Parallel()
	keys := &memoryKeys{entries: map[string]*Claim{}}
	idem := idempotency(t, keys, &allowance{left: 1 << 20})
	status, runs := http.StatusCreated, 0
	var entered, release chan struct{}
	send := func(caller, key, body string) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/v1/checkout", strings.NewReader(body))
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		return ask(func(w http.ResponseWriter, r *http.Request) {
			if caller != "" {
				From(r.Context()).Actor = identity.Actor{Kind: identity.KindUser, ID: caller}
			}
			idem.Serve(w, r, KeyRule{Required: true}, func(w http.ResponseWriter, r *http.Request) {
				runs++
				if entered != nil {
					close(entered)
					select {
					case <-release:
					case <-time.After(time.Minute): // the test has failed
					}
				}
				if caller != "" {
					require.Equal(t, key, rpc.IdempotencyKey(r.Context()))
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"order":1}`))
			})
		}, r, Body(1024))
	}
	require.Equal(t, http.StatusBadRequest, send("usr_1", "", "{}").StatusCode, "the key is required")
	require.Equal(t, 0, runs)

	require.Equal(t, http.StatusCreated, send("usr_1", "k1", "{}").StatusCode)
	res := send("usr_1", "k1", "{}")
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.Equal(t, "true", res.Header.Get("Idempotent-Replayed"))
	require.Equal(t, 1, runs)
	for stored, claim := range keys.entries {
		require.NotContains(t, string(claim.Answer.Body), "order", "stored answers are sealed")
		require.NotContains(t, string(claim.Answer.Head), "json")
		for _, scope := range []string{"k1", stored, "usr_2\nPOST /v1/checkout\nk1"} {
			box, err := boxOf([]byte(scope))
			require.NoError(t, err)
			_, err = unseal(box, claim.Answer)
			require.Error(t, err, "only caller, route and key together open it")
		}
	}
	res = send("usr_1", "k1", `{"other":1}`)
	require.Equal(t, http.StatusUnprocessableEntity, res.StatusCode)
	require.Equal(t, errs.IdempotencyMismatch, problemOf(t, res).Code)
	require.Equal(t, http.StatusCreated, send("usr_2", "k1", "{}").StatusCode)
	require.Equal(t, 2, runs, "keys are scoped to the caller")

	status = http.StatusServiceUnavailable
	require.Equal(t, status, send("usr_1", "k2", "{}").StatusCode)
	status = http.StatusCreated
	require.Equal(t, status, send("usr_1", "k2", "{}").StatusCode)
	require.Equal(t, 4, runs, "a 5xx is not kept: a retry runs again")

	entered, release = make(chan struct{}), make(chan struct{})
	done := make(chan *http.Response, 1)
	go func() { done <- send("usr_1", "k3", "{}") }()
	select {
	case <-entered:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the request did not run")
	}
	res = send("usr_1", "k3", "{}")
	require.Equal(t, http.StatusConflict, res.StatusCode)
	require.Equal(t, errs.IdempotencyInFlight, problemOf(t, res).Code)
	close(release)
	select {
	case res = <-done:
		require.Equal(t, http.StatusCreated, res.StatusCode)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the request was not answered")
	}

	entered = nil
	require.Equal(t, http.StatusBadRequest, send("usr_1", strings.Repeat("k", 256), "{}").StatusCode)
	require.Equal(t, http.StatusBadRequest, send("usr_1", "snow☃man", "{}").StatusCode)
}

func TestKeptAnswersAreBounded(t *testing.T) {
	t.Parallel()
	keys := &memoryKeys{entries: map[string]*Claim{}}
	whole := &allowance{left: 1 << 20}
	idem := idempotency(t, keys, whole)
	body, now := "", `{"now":1}`
	found := http.StatusOK
	send := func(key string, long bool) (status int, got string, header http.Header) {
		r := httptest.NewRequest(http.MethodPost, "/v1/products", strings.NewReader("{}"))
		r.Header.Set("Idempotency-Key", key)
		res := ask(func(w http.ResponseWriter, r *http.Request) {
			x := From(r.Context())
			x.Actor, x.Route = identity.Actor{Kind: identity.KindUser, ID: "usr_1"}, "/v1/products"
			rule := KeyRule{Creates: long, Reread: func(w http.ResponseWriter, r *http.Request, path string) {
				require.Equal(t, "/v1/products/1", path)
				From(r.Context()).Route = "another"
				if found != http.StatusOK {
					WriteProblem(w, r, errs.New(errs.NotFound, "it is gone"))
					return
				}
				_, _ = w.Write([]byte(now))
			}}
			idem.Serve(w, r, rule, func(w http.ResponseWriter, r *http.Request) {
				From(r.Context()).Resource = "/v1/products/1"
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Location", "/v1/products/1")
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(body))
			})
			require.Equal(t, "/v1/products", x.Route)
		}, r, Body(1024))
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(b), res.Header
	}
	replayed := func(key, want string) {
		t.Helper()
		status, got, header := send(key, true)
		require.Equal(t, http.StatusCreated, status)
		require.Equal(t, want, got)
		require.Equal(t, "true", header.Get("Idempotent-Replayed"))
		require.Equal(t, "/v1/products/1", header.Get("Location"))
		require.Equal(t, "application/json", header.Get("Content-Type"))
		require.Equal(t, "no-store", header.Get("Cache-Control"))
	}
	body = `{"small":1}`
	send("short", false)
	require.Equal(t, time.Minute, keys.ttl)
	send("long", true)
	require.Equal(t, time.Hour, keys.ttl)
	replayed("long", body)

	body = strings.Repeat("x", keptSize+1)
	_, got, _ := send("large", true)
	require.Equal(t, body, got)
	require.Equal(t, time.Hour, keys.ttl)
	replayed("large", now)
	found = http.StatusNotFound
	status, got, header := send("large", true)
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, got, `"code":"not_found"`)
	require.Equal(t, "true", header.Get("Idempotent-Replayed"))
	require.Empty(t, header.Get("Location"))
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
	found = http.StatusOK

	body, whole.left = `{"small":1}`, 100
	send("over quota", true)
	require.Equal(t, time.Minute, keys.ttl)
	replayed("over quota", now)
	total := 0
	for _, claim := range keys.entries {
		total += len(claim.Answer.Head) + len(claim.Answer.Body)
	}
	require.Less(t, total, 2048)
}

func TestALargeRefusalIsKeptWithoutItsDetails(t *testing.T) {
	t.Parallel()
	keys := &memoryKeys{entries: map[string]*Claim{}}
	whole := &allowance{left: 1 << 20}
	idem := idempotency(t, keys, whole)
	send := func(key string, rule KeyRule) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/v1/checkout", strings.NewReader("{}"))
		r.Header["Idempotency-Key"] = strings.Fields(key)
		return ask(func(w http.ResponseWriter, r *http.Request) {
			From(r.Context()).Actor = identity.Actor{Kind: identity.KindUser, ID: "usr_1"}
			idem.Serve(w, r, rule, func(w http.ResponseWriter, r *http.Request) {
				e := errs.InvalidField("expectedTotal", "is not the price")
				e.Code, e.Detail = errs.PriceChanged, &orderv1.Quote{
					Lines: []*orderv1.QuoteLine{{VariantId: strings.Repeat("x", keptSize)}},
				}
				WriteProblem(w, r, e)
			})
		}, r, Body(1024))
	}
	for _, left := range []int{1 << 20, 0} {
		whole.left = left
		key := fmt.Sprintf("left-%d", left)
		first := problemOf(t, send(key, KeyRule{Required: true}))
		res := send(key, KeyRule{Required: true})
		require.Equal(t, http.StatusConflict, res.StatusCode)
		require.Equal(t, "true", res.Header.Get("Idempotent-Replayed"))
		again := problemOf(t, res)
		require.Equal(t, errs.PriceChanged, again.Code)
		require.Equal(t, first, again)
	}
	whole.left = 1 << 20
	send("checkout", KeyRule{Required: true})
	require.Equal(t, time.Hour, keys.ttl)
	send("creation", KeyRule{Creates: true})
	require.Equal(t, time.Minute, keys.ttl, "nothing was created")
	require.Equal(t, http.StatusBadRequest, send("two keys", KeyRule{}).StatusCode)
}
