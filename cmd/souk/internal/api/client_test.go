package api_test

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
	"go.uber.org/goleak"

	"souk/cmd/souk/internal/api"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server with the handler f and returns a client of it.
func serve(t *testing.T, f http.HandlerFunc) *api.Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.Close()
	})
	return api.New(s.URL+"/", "secret")
}

func TestCallSendsTheRequestAndDecodesTheResponse(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/shops" ||
			r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, r.Method+" "+r.URL.Path, http.StatusTeapot)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"handle"`) {
			http.Error(w, string(body), http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `{"id":"shp_1","handle":"a","field of a newer souk":1}`)
	})
	var shop shopv1.Shop
	req := &shopv1.CreateShopRequest{Handle: "a"}
	require.NoError(t, client.Call(t.Context(), http.MethodPost, "/v1/shops", req, &shop))
	require.Equal(t, "shp_1", shop.GetId())
}

func TestRefusalKeepsTheAPIsCodeMessageAndFields(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":"invalid_argument","detail":"a field is wrong",
			"errors":[{"field":"handle","message":"is required"}]}`)
	})
	err := client.Call(t.Context(), http.MethodGet, "/", nil, nil)
	require.True(t, errs.Is(err, errs.Invalid))
	require.Equal(t, "a field is wrong", errs.From(err).Message)
	require.Equal(t, []errs.Field{{Path: "handle", Message: "is required"}}, errs.From(err).Fields)
	require.EqualValues(t, 1, calls.Load())
}

func TestPassingFailuresAreRetried(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(http.ResponseWriter){
		"unavailable": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"code":"unavailable","detail":"in a moment"}`)
		},
		"rate limited": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"code":"rate_limited","detail":"too fast"}`)
		},
		"timeout": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = io.WriteString(w, `{"code":"timeout","detail":"unknown"}`)
		},
		"a proxy's": func(w http.ResponseWriter) { http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway) },
		"broken off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) < 3 {
					fail(w)
					return
				}
				_, _ = io.WriteString(w, `{}`)
			})
			require.NoError(t, client.Call(t.Context(), http.MethodGet, "/", nil, &shopv1.Shop{}))
			require.EqualValues(t, 3, calls.Load())
		})
	}
}

func TestCanceledCallReturns(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":"unavailable","detail":"for a long time"}`)
	})
	began := time.Now()
	require.Error(t, client.Call(ctx, http.MethodGet, "/", nil, nil))
	require.Less(t, time.Since(began), 10*time.Second)
}

func TestUnreachableServerIsNamed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := api.New("http://127.0.0.1:1", "").Call(ctx, http.MethodGet, "/", nil, nil)
	require.ErrorContains(t, err, "souk can't be reached at http://127.0.0.1:1: is it running?")
}

func TestServerThatIsNotSoukIsReported(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Apache", http.StatusNotFound) })
	require.ErrorContains(t, client.Call(t.Context(), http.MethodGet, "/", nil, nil),
		"answered 404 Not Found: is this souk?")
	client = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	require.ErrorContains(t, client.Call(t.Context(), http.MethodGet, "/", nil, &shopv1.Shop{}), "is this souk?")
}
