package tests

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func TestIfMatchReachesTheMethodOrIsRefused(t *testing.T) {
	t.Parallel()
	g := setup(t)
	patch := func(path, body string, header ...string) answer {
		return g.send(http.MethodPatch, path, body, append(header, "Authorization", asUser)...)
	}
	res := patch("/v1/products/prd_1", `{"title":"A"}`, "If-Match", `"a-1", "b-2"`)
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	require.Equal(t, `"a-1", "b-2"`, g.products.updated.GetIfMatch())
	require.Equal(t, []string{"title"}, g.products.updated.GetUpdateMask().GetPaths())

	res = patch("/v1/products/prd_1", `{"tags":[],"images":[],"description":null}`, "If-Match", "*")
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	require.Empty(t, g.products.updated.GetIfMatch())
	require.Equal(t, []string{"description", "images", "tags"}, g.products.updated.GetUpdateMask().GetPaths())

	p := patch("/v1/shops/shp_1", `{"name":"A"}`, "If-Match", `"a-1"`).problem(t, http.StatusBadRequest, errs.Invalid)
	require.Equal(t, "If-Match", field(t, p), "ignoring it would overwrite what the caller does not know")
	g.send(http.MethodDelete, "/v1/products/prd_1?ifMatch=a-1", "", "Authorization", asUser).
		problem(t, http.StatusBadRequest, errs.Invalid)
}

func TestAnswersThatShowAProductHaveItsETag(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.products.get = func(_ context.Context, id string) (*productv1.Product, error) {
		return &productv1.Product{Id: id}, nil
	}
	etag := g.send(http.MethodGet, "/v1/products/prd_1", "").Header.Get("ETag")
	require.NotEmpty(t, etag)
	res := g.send(http.MethodPatch, "/v1/products/prd_1", `{"title":"A"}`, "Authorization", asUser)
	require.Equal(t, etag, res.Header.Get("ETag"), "so that the next change needs no GET")
	res = g.send(http.MethodPost, "/v1/shops/shp_1/products", `{"title":"A","variants":[{"price":{}}]}`,
		"Authorization", asUser)
	require.Equal(t, http.StatusCreated, res.StatusCode, res.body)
	require.Equal(t, jsonpb.ETag([]byte(res.body)), res.Header.Get("ETag"))
	res = g.send(http.MethodPatch, "/v1/products/prd_1", `{"titel":"A"}`, "Authorization", asUser)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Empty(t, res.Header.Get("ETag"))
}

func TestOneImportOfACallerIsInFlight(t *testing.T) {
	t.Parallel()
	g := setup(t)
	begun, end := make(chan struct{}, 8), make(chan struct{})
	g.products.importing = func(ctx context.Context) {
		begun <- struct{}{}
		select {
		case <-end:
		case <-ctx.Done():
		}
	}
	answers := make(chan int, 8)
	send := func(user string) {
		go func() {
			res := g.send(http.MethodPost, "/v1/products:import",
				`{"products":[{"shop":"s"}]}`, "Authorization", "Bearer user-usr_"+user)
			answers <- res.StatusCode
		}()
	}
	send("1")
	waittest.Receive(t, begun)
	send("1")
	require.Equal(t, http.StatusTooManyRequests, waittest.Receive(t, answers), "one of a caller")
	send("2")
	waittest.Receive(t, begun)
	close(end)
	for range 2 {
		require.Equal(t, http.StatusOK, waittest.Receive(t, answers))
	}
}

func TestImportsCountAsManyRequests(t *testing.T) {
	t.Parallel()
	g := setup(t, moduletest.Redis(redistest.Private(t).Config()),
		config("caller_rate", map[string]any{"per_second": 1, "burst": 30}))
	send := func() answer {
		return g.send(http.MethodPost, "/v1/products:import", `{"products":[{"shop":"s"}]}`, "Authorization", asUser)
	}
	require.Equal(t, http.StatusOK, send().StatusCode)
	send().problem(t, http.StatusTooManyRequests, errs.RateLimited)
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/cart", "", "Authorization", asUser).StatusCode)
}
