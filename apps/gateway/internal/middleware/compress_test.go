package middleware

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"souk/pkg/clock"
	"souk/pkg/identity"
)

// plainBody returns the body of a response without its encoding.
func plainBody(t *testing.T, res *http.Response) string {
	t.Helper()
	var r io.Reader = res.Body
	switch res.Header.Get("Content-Encoding") {
	case "br":
		r = brotli.NewReader(res.Body)
	case "gzip":
		var err error
		r, err = gzip.NewReader(res.Body)
		require.NoError(t, err)
	}
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

func TestLargeTextIsCompressedForClientsThatAcceptIt(t *testing.T) {
	t.Parallel()
	large := `{"text":"` + strings.Repeat("a lamp ", 500) + `"}`
	for name, tc := range map[string]struct{ accept, contentType, body, encoding string }{
		"both":         {"gzip, deflate, br, zstd", "application/json", large, "gzip"},
		"only brotli":  {"br", "application/problem+json", large, "br"},
		"any case":     {"GZip;q=0.5", "text/html; charset=utf-8", large, "gzip"},
		"refused":      {"gzip;q=0, br; q=0.0", "application/json", large, ""},
		"none":         {"", "application/json", large, ""},
		"prefers gzip": {"br;q=0.1, gzip;q=0.9", "application/json", large, "gzip"},
		"prefers br":   {"gzip; Q=0.5, br", "application/json", large, "br"},
		"another":      {"identity, zstd", "application/json", large, ""},
		"small":        {"gzip", "application/json", `{}`, ""},
		"not text":     {"gzip", "image/png", large, ""},
		"not at once":  {"gzip", "application/json", "", ""},
		"empty answer": {"gzip", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tc.accept != "" {
				r.Header.Set("Accept-Encoding", tc.accept)
			}
			body := tc.body
			res := ask(func(w http.ResponseWriter, _ *http.Request) {
				if tc.contentType == "" {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("ETag", `"1"`)
				if body == "" { // a stream
					w.WriteHeader(http.StatusCreated)
					for range 2 {
						_, _ = io.WriteString(w, large)
					}
					return
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, body)
			}, r, Compress())
			if tc.contentType == "" {
				require.Equal(t, http.StatusNoContent, res.StatusCode)
				return
			}
			require.Equal(t, http.StatusCreated, res.StatusCode)
			require.Equal(t, tc.encoding, res.Header.Get("Content-Encoding"))
			if body == "" {
				body = large + large
			} else {
				require.Equal(
					t,
					body == large && tc.contentType != "image/png",
					res.Header.Get("Vary") == "Accept-Encoding",
				)
			}
			if tc.encoding != "" {
				require.Equal(t, `W/"1"`, res.Header.Get("ETag"))
				require.Less(t, res.ContentLength, int64(len(body)/2))
			}
			require.Equal(t, body, plainBody(t, res))
		})
	}
}

func TestCachedAnswersAreCompressedOnce(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(noon)
	cache := NewResponseCache(&fakeTags{}, 1<<20, time.Minute, c, counters(t))
	large := `{"text":"` + strings.Repeat("a lamp ", 500) + `"}`
	runs, origins := 0, Origins(nil)
	get := func(accept string, header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/v1/products/1", nil)
		r.Header.Set("Accept-Encoding", accept)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return askAt(c, func(w http.ResponseWriter, r *http.Request) {
			From(r.Context()).Actor = identity.Anonymous()
			cache.Public(w, r, 2, "product:1", func(w http.ResponseWriter, r *http.Request) {
				runs++
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, large)
			})
		}, r, CORS(origins), cache.Lookup(), Compress())
	}
	for range 2 {
		for _, encoding := range []string{"br", "gzip", ""} {
			res := get(encoding)
			require.Equal(t, encoding, res.Header.Get("Content-Encoding"))
			require.Equal(t, []string{"Accept-Encoding"}, res.Header.Values("Vary"))
			require.Equal(t, encoding != "", strings.HasPrefix(res.Header.Get("ETag"), "W/"))
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			etag := res.Header.Get("ETag")
			require.Equal(t, large, plainBody(t, res))
			res = get(encoding, "If-None-Match", etag)
			require.Equal(t, http.StatusNotModified, res.StatusCode)
			require.Equal(t, []string{"Accept-Encoding"}, res.Header.Values("Vary"))
		}
	}
	require.Equal(t, 1, runs)
	require.Equal(t, "gzip", get("br;q=0.1, gzip;q=0.9").Header.Get("Content-Encoding"))
	require.Equal(t, "br", get("gzip, br").Header.Get("Content-Encoding"), "the cache compresses once, so the best way")

	origins = Origins{"https://shop.example"}
	for _, origin := range []string{"", "https://shop.example", "https://evil.example"} {
		require.Equal(
			t,
			[]string{"Origin", "Accept-Encoding"},
			get("br", "Origin", origin).Header.Values("Vary"),
			origin,
		)
	}
}
