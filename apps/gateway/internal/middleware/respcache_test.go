package middleware

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"

	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestResponseCacheServesFreshPublicAnswers(t *testing.T) {
	t.Parallel()
	tags := &fakeTags{}
	c := clock.NewManual(noon)
	cache := NewResponseCache(tags, 1<<20, time.Minute, c, counters(t))
	made := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		cache.Public(w, r, 2, "product:1", func(w http.ResponseWriter, r *http.Request) {
			made++
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"n":` + string(rune('0'+made)) + `}`))
		})
	}
	get := func(actor identity.Actor, match string) (*http.Response, string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/products/1", nil)
		if match != "" {
			r.Header.Set("If-None-Match", match)
		}
		if actor.ID != "" {
			r.Header.Set("Authorization", "Bearer "+actor.ID)
		}
		res := askAt(c,
			func(w http.ResponseWriter, r *http.Request) { From(r.Context()).Actor = actor; handler(w, r) }, r,
			cache.Lookup())
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(b)
	}
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1"}

	_, body := get(user, "") // a user's answer is not cached: it may hold more than the public may see
	require.Equal(t, `{"n":1}`, body)
	res, body := get(identity.Anonymous(), "")
	require.Equal(t, `{"n":2}`, body)
	require.Equal(t, "public, max-age=2", res.Header.Get("Cache-Control"))
	etag := res.Header.Get("ETag")
	require.NotEmpty(t, etag)

	_, body = get(identity.Anonymous(), "")
	require.Equal(t, `{"n":2}`, body, "answered from the cache")
	res, body = get(user, "")
	require.Equal(t, `{"n":2}`, body, "a user gets the public answer")
	require.Equal(t, "private, no-cache", res.Header.Get("Cache-Control"))
	res, body = get(identity.Anonymous(), etag)
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Empty(t, body)

	tags.version.Add(1)
	_, body = get(identity.Anonymous(), "")
	require.Equal(t, `{"n":3}`, body, "a new version makes the entry stale")
	c.Advance(3 * time.Second)
	_, body = get(identity.Anonymous(), "")
	require.Equal(t, `{"n":4}`, body, "so does its expiry")
}

func TestStaleAnswersReplaceErrorsOfUnavailableServices(t *testing.T) {
	t.Parallel()
	tags := &fakeTags{}
	c := clock.NewManual(noon)
	cache := NewResponseCache(tags, 1<<20, time.Minute, c, counters(t))
	var fail error
	get := func(header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/v1/products/1", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return askAt(c, func(w http.ResponseWriter, r *http.Request) {
			From(r.Context()).Actor = identity.Anonymous()
			cache.Public(w, r, 2, "product:1", func(w http.ResponseWriter, r *http.Request) {
				if fail != nil {
					WriteProblem(w, r, fail)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"n":1}`))
			})
		}, r, cache.Lookup())
	}
	etag := get().Header.Get("Etag")
	require.NotEmpty(t, etag)
	c.Advance(30 * time.Second)
	tags.version.Add(1)
	fail = errs.New(errs.Unavailable, "away").WithRetryAfter(time.Second)
	for _, header := range [][]string{nil, {"Authorization", "Bearer x"}} {
		res := get(header...)
		require.Equal(t, http.StatusOK, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, `{"n":1}`, string(body))
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		require.Equal(t, "30", res.Header.Get("Age"))
		require.Equal(t, `110 - "Response is Stale"`, res.Header.Get("Warning"))
		require.Equal(t, etag, res.Header.Get("Etag"))
		require.Empty(t, res.Header.Get("Retry-After"))
	}
	require.Equal(t, http.StatusNotModified, get("If-None-Match", etag).StatusCode)

	fail = errs.New(errs.NotFound, "it is gone")
	require.Equal(t, http.StatusNotFound, get().StatusCode, "the service has answered")
	fail = errs.New(errs.Internal, "a bug")
	require.Equal(t, http.StatusInternalServerError, get().StatusCode)
	fail = errs.New(errs.Unavailable, "away")
	c.Advance(31 * time.Second)
	require.Equal(t, http.StatusServiceUnavailable, get().StatusCode, "too old")
	fail = nil
	res := get()
	require.Empty(t, res.Header.Get("Age"))
	require.Empty(t, res.Header.Get("Warning"))
}

func TestStaleAnswerReplacesOneThatTakesTooLong(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(noon)
	cache := NewResponseCache(&fakeTags{}, 1<<20, time.Minute, c, counters(t))
	get := func(path string) *http.Response {
		return askAt(c, func(w http.ResponseWriter, r *http.Request) {
			From(r.Context()).Actor = identity.Anonymous()
			cache.Public(w, r, 2, "product:1", func(w http.ResponseWriter, r *http.Request) {
				if d, ok := r.Context().Deadline(); ok && time.Until(d) <= staleWait {
					WriteProblem(w, r, context.DeadlineExceeded)
					return
				}
				_, _ = w.Write([]byte(`{}`))
			})
		}, httptest.NewRequest(http.MethodGet, path, nil), cache.Lookup())
	}
	require.Equal(t, http.StatusOK, get("/v1/products/1").StatusCode)
	c.Advance(30 * time.Second)
	res := get("/v1/products/1")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "30", res.Header.Get("Age"))
	require.Equal(
		t,
		http.StatusOK,
		get("/v1/products/2").StatusCode,
		"nothing could be sent instead, so it may take longer",
	)
}

func TestResponseCacheStaysWithinItsBound(t *testing.T) {
	t.Parallel()
	cache := NewResponseCache(&fakeTags{}, 256<<10, time.Minute, clock.NewManual(noon), counters(t))
	for i := range 5000 {
		key := cacheKey{path: "/v1/products/" + strings.Repeat("x", i%200) + string(rune(i))}
		cache.put(key, &cached{body: make([]byte, 500), expires: noon.Add(time.Hour)})
	}
	total := 0
	for i := range cache.shards {
		s := &cache.shards[i]
		sum := 0
		for k, e := range s.entries {
			sum += entrySize(k, e)
		}
		require.Equal(t, sum, s.bytes)
		total += sum
	}
	require.LessOrEqual(t, total, 256<<10)
	require.Positive(t, total)
}

type fakeAuth struct {
	calls atomic.Int64
	until time.Time
}

func (f *fakeAuth) Authenticate(
	_ context.Context, in *authv1.AuthenticateRequest, _ ...grpc.CallOption,
) (*authv1.AuthenticateResponse, error) {
	f.calls.Add(1)
	if in.GetBearer() == "good" || in.GetSessionId() == "live" {
		return &authv1.AuthenticateResponse{
			Kind:          "user",
			SubjectId:     "usr_1",
			Roles:         []string{"customer"},
			ReusableUntil: timestamppb.New(f.until),
		}, nil
	}
	return nil, errs.New(errs.Unauthenticated, "sign in again")
}
