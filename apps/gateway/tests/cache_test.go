package tests

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/waittest"
)

func TestPublicAnswersAreCached(t *testing.T) {
	t.Parallel()
	g := setup(t)
	id := newID()
	path := "/v1/products/" + id
	first := g.send(http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, first.StatusCode)
	require.Equal(t, "public, max-age=2", first.Header.Get("Cache-Control"))
	etag := first.Header.Get("ETag")
	require.NotEmpty(t, etag)
	again := g.send(http.MethodGet, path, "")
	require.Equal(t, first.body, again.body)
	require.Equal(t, 1, g.products.calls)
	require.Equal(t, etag, again.Header.Get("ETag"))
	require.Equal(t, first.Header.Get("Content-Type"), again.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", again.Header.Get("X-Content-Type-Options"))
	require.NotEqual(t, first.Header.Get("X-Request-Id"), again.Header.Get("X-Request-Id"))

	for _, match := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		res := g.send(http.MethodGet, path, "", "If-None-Match", match)
		require.Equal(t, http.StatusNotModified, res.StatusCode)
		require.Empty(t, res.body)
		require.Equal(t, etag, res.Header.Get("ETag"))
	}
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, path, "", "If-None-Match", `"other"`).StatusCode)

	mine := g.send(http.MethodGet, path, "", "Authorization", asUser)
	require.Equal(t, "private, no-cache", mine.Header.Get("Cache-Control"))
	require.Equal(t, first.body, mine.body)
	require.Equal(t, http.StatusNotModified,
		g.send(http.MethodGet, path, "", "Authorization", asUser, "If-None-Match", etag).StatusCode)
	require.Equal(t, 1, g.products.calls, "all callers get public answers from the cache")

	g.products.answerWith(func(_ context.Context, id string) (*productv1.Product, error) {
		return &productv1.Product{Id: id, Title: "Another lamp"}, nil
	})
	g.bump("product", id)
	var changed answer
	waittest.Until(t, func() bool { // until the invalidation arrives
		changed = g.send(http.MethodGet, path, "", "If-None-Match", etag)
		return changed.StatusCode == http.StatusOK
	}, "a change is not visible")
	require.Contains(t, changed.body, "Another lamp")
	require.NotEqual(t, etag, changed.Header.Get("ETag"))
}

// TestCachedAnswersHaveContentLength, both short ones that net/http measures and long ones that it would send
// in chunks.
func TestCachedAnswersHaveContentLength(t *testing.T) {
	t.Parallel()
	g := setup(t)
	ask := func(method string, title int) answer {
		g.products.answerWith(func(_ context.Context, id string) (*productv1.Product, error) {
			return &productv1.Product{Id: id, Title: strings.Repeat("x", title)}, nil
		})
		path := "/v1/products/" + newID()
		plain := []string{"Accept-Encoding", "identity"} // net/http would unpack an answer, and then it has no length
		made := g.send(method, path, "", plain...)
		calls := g.products.calls
		kept := g.send(method, path, "", plain...)
		require.Equal(t, calls, g.products.calls, "from the cache")
		for _, a := range []answer{made, kept} {
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.Empty(t, a.TransferEncoding)
		}
		require.Equal(t, made.ContentLength, kept.ContentLength)
		return kept
	}
	around := len(ask(http.MethodGet, 0).body)
	for _, size := range []int{around, 2047, 2048, 2049, 8 << 10} {
		got := ask(http.MethodGet, size-around)
		require.Len(t, got.body, size)
		require.EqualValues(t, size, got.ContentLength)
		require.EqualValues(t, size, ask(http.MethodHead, size-around).ContentLength)
	}
}

func TestAnswersToSignedInCallersAreNotCached(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.products.answerWith(func(_ context.Context, id string) (*productv1.Product, error) {
		return &productv1.Product{Id: id, Title: "A draft"}, nil
	})
	path := "/v1/products/" + newID()
	for range 2 {
		res := g.send(http.MethodGet, path, "", "Authorization", asUser)
		require.Equal(t, "private, no-cache", res.Header.Get("Cache-Control"))
	}
	require.Equal(t, 2, g.products.calls)
	g.send(http.MethodGet, path, "")
	require.Equal(t, 3, g.products.calls)
}

func TestCacheDistinguishesPathFromQuery(t *testing.T) {
	t.Parallel()
	g := setup(t)
	id := newID()
	require.Contains(t, g.send(http.MethodGet, "/v1/products/"+id+"?", "").body, `"`+id+`"`)
	require.Contains(t, g.send(http.MethodGet, "/v1/products/"+id+"%3F", "").body, `"`+id+`?"`)
}
