package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// ask sends a request through the middlewares ms to h.
func ask(h http.HandlerFunc, r *http.Request, ms ...Middleware) *http.Response {
	return askAt(clock.System{}, h, r, ms...)
}

func askAt(c clock.Clock, h http.HandlerFunc, r *http.Request, ms ...Middleware) *http.Response {
	w := httptest.NewRecorder()
	Chain(
		h,
		append(
			[]Middleware{Begin(c), RequestID(), Recover(zap.NewNop()), Timeout(time.Minute, nil)},
			ms...)...).ServeHTTP(w, r)
	return w.Result()
}

func problemOf(t *testing.T, res *http.Response) problem {
	t.Helper()
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	var p problem
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	return p
}

func TestPanicIsAnsweredWith500(t *testing.T) {
	t.Parallel()
	res := ask(func(http.ResponseWriter, *http.Request) { panic("secret detail") },
		httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	p := problemOf(t, res)
	require.Equal(t, errs.Internal, p.Code)
	require.NotContains(t, p.Detail, "secret")
}

func TestValidRequestIDIsUsed(t *testing.T) {
	t.Parallel()
	for given, kept := range map[string]bool{
		"abc-12345678": true, "short": false, "has spaces in it": false, "4111111111111111": false,
		"new\nline-injected": false, strings.Repeat("a", 65): false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["X-Request-Id"] = []string{given}
		var inside string
		res := ask(func(_ http.ResponseWriter, r *http.Request) { inside = rpc.RequestID(r.Context()) }, r)
		require.Equal(t, kept, res.Header.Get("X-Request-Id") == given, given)
		require.Equal(t, res.Header.Get("X-Request-Id"), inside)
	}
}

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(b)
	}
	post := func(body string) *http.Request {
		return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	}
	res := ask(echo, post("hello"), Body(1024))
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))

	res = ask(echo, post(strings.Repeat("x", 1025)), Body(1024))
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	chunked := post(strings.Repeat("x", 5000))
	chunked.ContentLength = -1
	require.Equal(t, http.StatusRequestEntityTooLarge, ask(echo, chunked, Body(1024)).StatusCode)

}

func TestCORSAnswersAllowedOriginsOnly(t *testing.T) {
	t.Parallel()
	preflight := func(origin string) *http.Response {
		r := httptest.NewRequest(http.MethodOptions, "/v1/cart", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		return ask(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, r,
			CORS(Origins{"https://shop.example"}))
	}
	res := preflight("https://shop.example")
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, "https://shop.example", res.Header.Get("Access-Control-Allow-Origin"))
	res = preflight("https://evil.example")
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", res.Header.Get("Vary"))
}

func TestCrossOriginWritesWithACookieAreRefused(t *testing.T) {
	t.Parallel()
	protect := CrossOrigin(Origins{"https://panel.example"})
	send := func(origin, authorization string) int {
		r := httptest.NewRequest(http.MethodPost, "https://souk.example/v1/cart/items", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return ask(func(http.ResponseWriter, *http.Request) {}, r, protect).StatusCode
	}
	require.Equal(t, http.StatusForbidden, send("https://evil.example", ""))
	require.Equal(t, http.StatusOK, send("https://panel.example", ""))
	require.Equal(t, http.StatusOK, send("https://evil.example", "Bearer token"))
}

func TestClientAddressTrustsOnlyTrustedProxies(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct{ remote, forwarded, want string }{
		{"203.0.113.9:1", "", "203.0.113.9"},
		{"203.0.113.9:1", "198.51.100.7", "203.0.113.9"},
		{"10.1.1.1:1", "198.51.100.7", "198.51.100.7"},
		{"10.1.1.1:1", "1.2.3.4, 198.51.100.7", "198.51.100.7"},
		{"10.1.1.1:1", "198.51.100.7, 10.2.2.2", "198.51.100.7"},
		{"10.1.1.1:1", "not an address", "10.1.1.1"},
		{"10.1.1.1:1", "1.2.3.4\n198.51.100.7", "198.51.100.7"},
		{"10.1.1.1:1", "198.51.100.7\n10.2.2.2", "198.51.100.7"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tc.remote
		for line := range strings.SplitSeq(tc.forwarded, "\n") {
			r.Header.Add("X-Forwarded-For", line)
		}
		require.Equal(t, tc.want, ClientAddress(r, trusted), "%+v", tc)
	}
}

type fixedLimiter struct {
	allowed bool
	err     error
	keys    []string
}

func (l *fixedLimiter) Allow(_ context.Context, key string, _ int) (bool, time.Duration, error) {
	l.keys = append(l.keys, key)
	return l.allowed, 3 * time.Second, l.err
}

func TestRateLimitCountsUsersByIDAndOthersByAddress(t *testing.T) {
	t.Parallel()
	ok := func(http.ResponseWriter, *http.Request) {}
	get := func() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }
	as := func(kind identity.Kind, id string) *http.Request {
		r := get()
		return r.WithContext(identity.NewContext(r.Context(), identity.Actor{Kind: kind, ID: id}))
	}
	caller, address := &fixedLimiter{}, &fixedLimiter{}
	limits := Limits{Metrics: counters(t), ByCaller: caller, ByAddress: address, Logger: zap.NewNop()}
	res := ask(ok, get(), RateLimit(limits))
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Equal(t, "3", res.Header.Get("Retry-After"))
	require.Equal(t, errs.RateLimited, problemOf(t, res).Code)
	require.Equal(t, http.StatusTooManyRequests, ask(ok, as(identity.KindGuest, "gst_1"), RateLimit(limits)).StatusCode)
	require.Equal(t, []string{"a:192.0.2.1", "a:192.0.2.1"}, address.keys, "a new guest gets no limit of its own")
	require.Empty(t, caller.keys)

	require.Equal(t, http.StatusTooManyRequests, ask(ok, as(identity.KindUser, "usr_1"), RateLimit(limits)).StatusCode)
	require.Equal(t, []string{"c:usr_1"}, caller.keys)

	down := &fixedLimiter{err: errors.New("redis is down")}
	require.Equal(
		t,
		http.StatusOK,
		ask(
			ok,
			get(),
			RateLimit(Limits{Metrics: counters(t), ByCaller: down, ByAddress: down, Logger: zap.NewNop()}),
		).StatusCode,
	)
}

func TestIPv6AddressesAreCountedByTheir64(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"2001:db8:1:2::1":         "2001:db8:1:2::/64",
		"2001:db8:1:2:aaaa::ffff": "2001:db8:1:2::/64",
		"2001:db8:1:3::1":         "2001:db8:1:3::/64",
		"fe80::1%eth0":            "fe80::/64",
		"@":                       "@",
	} {
		require.Equal(t, want, Network(in), in)
	}
}

func TestRefusedCredentialsAreCounted(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(noon)
	signer := identity.NewSigner("gateway", identity.DeriveKey([]byte(strings.Repeat("s", 32)), "gateway"),
		time.Minute, c)
	send := func(authorization string, address *fixedLimiter) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
		r.Header.Set("Authorization", authorization)
		mw := Authenticate(&fakeAuth{until: noon}, signer, "souk_session", c,
			Limits{Metrics: counters(t), ByAddress: address, Logger: zap.NewNop()}, permission.Sets{}.Of)
		return ask(func(http.ResponseWriter, *http.Request) {}, r, mw)
	}
	left, usedUp, down := &fixedLimiter{allowed: true}, &fixedLimiter{}, &fixedLimiter{err: errors.New("redis is down")}
	require.Equal(t, http.StatusUnauthorized, send("Bearer bad", left).StatusCode)
	require.Equal(t, []string{"a:192.0.2.1"}, left.keys)
	res := send("Bearer bad", usedUp)
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Equal(t, "3", res.Header.Get("Retry-After"))
	require.Equal(t, http.StatusUnauthorized, send("Basic bad", down).StatusCode)
	require.Equal(t, http.StatusOK, send("Bearer good", left).StatusCode)
	require.Len(t, left.keys, 1, "RateLimit counts valid credentials")
}

type fakeTags struct{ version atomic.Int64 }

func (f *fakeTags) Watch(string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return string(rune('a' + f.version.Load())), nil }
}

func TestCredentialsAreAuthenticated(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(noon)
	key := identity.DeriveKey([]byte(strings.Repeat("s", 32)), "gateway")
	auth := &fakeAuth{until: noon.Add(30 * time.Second)}
	var sets permission.Sets
	mw := Authenticate(auth, identity.NewSigner("gateway", key, time.Minute, c), "souk_session", c,
		Limits{Metrics: counters(t), ByAddress: &fixedLimiter{allowed: true}, Logger: zap.NewNop()},
		func(roles []string) []string { return sets.Of(roles) })
	send := func(method, path, authorization, cookie string) (*http.Response, identity.Actor) {
		r := httptest.NewRequest(method, path, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: "souk_session", Value: cookie})
		}
		var actor identity.Actor
		return ask(func(_ http.ResponseWriter, r *http.Request) { actor = identity.FromContext(r.Context()) }, r,
			mw), actor
	}
	_, actor := send(http.MethodGet, "/v1/me", "", "")
	require.Equal(t, identity.KindAnonymous, actor.Kind)
	_, actor = send(http.MethodGet, "/v1/me", "Bearer good", "")
	require.Equal(t, "usr_1", actor.ID)
	_, _ = send(http.MethodGet, "/v1/me", "Bearer good", "")
	require.EqualValues(t, 1, auth.calls.Load(), "a bearer's answer is reused")
	sets = permission.Sets{"customer": {"order.read"}}
	_, actor = send(http.MethodGet, "/v1/me", "Bearer good", "")
	require.Equal(t, []string{"order.read"}, actor.Permissions, "what the roles allow is looked up at each request")
	sets = nil
	_, actor = send(http.MethodGet, "/v1/me", "Bearer good", "")
	require.Empty(t, actor.Permissions)
	require.EqualValues(t, 1, auth.calls.Load())
	c.Advance(31 * time.Second)
	_, _ = send(http.MethodGet, "/v1/me", "Bearer good", "")
	require.EqualValues(t, 2, auth.calls.Load(), "but not longer than auth allows")

	for _, bad := range []string{"Bearer bad", "Bearer ", "Basic dXNlcjpwYXNz", "good"} {
		res, _ := send(http.MethodGet, "/v1/products", bad, "")
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, bad)
		require.NotEmpty(t, res.Header.Get("WWW-Authenticate"))
	}
	_, actor = send(http.MethodGet, "/v1/me", "", "live")
	require.Equal(t, "usr_1", actor.ID)
	res, actor := send(http.MethodPost, "/v1/guest", "", "dead")
	require.Equal(t, http.StatusOK, res.StatusCode, "an ended session does not keep a browser from public routes")
	require.Equal(t, identity.KindAnonymous, actor.Kind)
}
