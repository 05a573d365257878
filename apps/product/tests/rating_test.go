package tests

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/product"
	commentv1 "souk/gen/go/souk/comment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

// rated returns the comment service's event about the reviews of a product.
func (h *harness) rated(productID string, version int64, average float64, count int32) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), "evt.review.rating_changed", productID, version, h.clock.Now(),
		&commentv1.RatingChanged{ProductId: productID, Average: average, Count: count})
	require.NoError(h.t, err)
	return e
}

func (h *harness) rating(productID string) *productv1.Rating {
	h.t.Helper()
	res, err := h.client.GetProduct(h.asVisitor(), &productv1.GetProductRequest{Id: productID})
	require.NoError(h.t, err)
	return res.GetProduct().GetRating()
}

func TestRatingsAreShownSortedFilteredAndCounted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	ids := h.add(simple("s", "a", "Lamp A", 1), simple("s", "b", "Lamp B", 1), simple("s", "c", "Lamp C", 1),
		simple("s", "d", "Lamp D", 1), simple("s", "e", "Sofa", 1))
	h.Deliver("comment", h.rated(ids[0], 1, 3.5, 2), h.rated(ids[1], 3, 4.25, 4), h.rated(ids[2], 1, 4.25, 9),
		h.rated(ids[4], 1, 5, 1))
	require.InDelta(t, 3.5, h.rating(ids[0]).GetAverage(), 0)
	require.EqualValues(t, 2, h.rating(ids[0]).GetCount())
	require.Zero(t, h.rating(ids[3]).GetCount())
	for _, c := range []struct {
		query string
		least int32
		want  []int
	}{
		{"", 0, []int{4, 2, 1, 0, 3}}, {"lamp", 0, []int{2, 1, 0, 3}}, {"lamp", 4, []int{2, 1}}, {"", 5, []int{4}},
	} {
		var want, got []string
		for _, i := range c.want {
			want = append(want, ids[i])
		}
		req := &productv1.SearchProductsRequest{Query: c.query, MinRating: c.least, Sort: "rating", PageSize: 2}
		for more := true; more; more = req.PageToken != "" {
			out := h.search(req)
			for _, p := range out.GetProducts() {
				got = append(got, p.GetId())
			}
			req.PageToken = out.GetNextPageToken()
		}
		require.Equal(t, want, got, "%+v", c)
	}
	facets := h.search(&productv1.SearchProductsRequest{Query: "lamp", Facets: true}).GetFacets().GetRatings()
	require.Len(t, facets, 4)
	for i, want := range []int64{2, 3, 3, 3} {
		require.EqualValues(t, 4-i, facets[i].GetMinRating())
		require.Equal(t, want, facets[i].GetCount())
	}
}

func TestRatingIsThatOfTheNewestEventInAnyOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	productID := h.add(simple("s", "a", "Lamp", 1))[0]
	events := []event.Event{
		h.rated(productID, 9, 4.5, 2), h.rated(productID, 2, 1, 1), h.rated(productID, 5, 5, 1),
	}
	h.Deliver("comment", events...)
	h.Deliver("comment", events[1]) // again
	require.InDelta(t, 4.5, h.rating(productID).GetAverage(), 0)
	h.Deliver("comment", h.rated(productID, 10, 0, 0)) // the reviews are deleted
	require.Zero(t, h.rating(productID).GetAverage())
	require.Zero(t, h.rating(productID).GetCount())
	h.Deliver("comment", h.rated(id.New(id.Product), 1, 5, 1)) // a product that is gone

	// The reviews are an older backup.
	n, err := h.Rebuild(t.Context(), product.Ratings,
		func(_ context.Context, known []string, _ func(event.Event) error) (int, error) {
			return len(known), nil
		})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	h.Deliver("comment", h.rated(productID, 3, 3, 1))
	require.InDelta(t, 3, h.rating(productID).GetAverage(), 0)
}

func TestRatingOutlivesChangesOfTheProductAndARebuild(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	productID := h.add(simple("s", "a", "Lamp", 1))[0]
	h.Deliver("comment", h.rated(productID, 1, 4.5, 2))
	title := "Better lamp"
	_, err := h.client.UpdateProduct(h.asOperator(), &productv1.UpdateProductRequest{Id: productID, Title: &title})
	require.NoError(t, err)
	require.InDelta(t, 4.5, h.rating(productID).GetAverage(), 0)
	_, err = h.Pool.Exec(t.Context(), `update listing set rating_avg = 1`)
	require.NoError(t, err)
	findings, err := product.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, findings[0].Wrong)
	_, err = h.Rebuild(t.Context(), product.Search, nil)
	require.NoError(t, err)
	found := h.search(&productv1.SearchProductsRequest{MinRating: 4}).GetProducts()
	require.Len(t, found, 1)
	require.InDelta(t, 4.5, found[0].GetRating().GetAverage(), 0)
}

// Ratings arrive while the shop changes the product: both are shown in the end.
func TestConcurrentRatingsAndChangesAreBothShown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.shop("s")
	ids := h.add(simple("s", "a", "Lamp A", 1), simple("s", "b", "Lamp B", 1))
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			title := id.New("lamp")
			for _, productID := range ids {
				req := &productv1.UpdateProductRequest{Id: productID, Title: &title}
				if _, err := h.client.UpdateProduct(h.asOperator(), req); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var events []event.Event
	for version := int64(1); version <= 40; version++ {
		for _, productID := range ids {
			events = append(
				events,
				h.rated(productID, version, float64(version)/10, int32(version)),
			) //nolint:gosec // small
		}
	}
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	h.Deliver("comment", events...)
	wg.Wait()
	for _, productID := range ids {
		require.EqualValues(t, 40, h.rating(productID).GetCount())
	}
	found := h.search(&productv1.SearchProductsRequest{Sort: "rating", MinRating: 4}).GetProducts()
	require.Len(t, found, 2)
	require.Equal(t, found[0].GetTitle(), found[1].GetTitle(), "the last change is shown")
	findings, err := product.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.EqualValues(t, 2, findings[0].Count)
	require.Zero(t, findings[0].Wrong)
}

func TestCachedProductsShowNewRatingsAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, cached(t)...)
	h.shop("s")
	productID := h.add(simple("s", "a", "Lamp", 1))[0]
	require.Zero(t, h.rating(productID).GetCount())
	h.Deliver("comment", h.rated(productID, 1, 4.5, 2))
	waittest.Until(t, func() bool { return h.rating(productID).GetCount() == 2 }, "the cached product stays")
}

// A second Redis has the cached products only. It may lose all of them at any time.
func TestEvictedProductsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	main, second := redistest.Private(t).Config(), redistest.Private(t).Config()
	h := setup(
		t,
		moduletest.Redis(main),
		moduletest.Cache(second),
		moduletest.Config(map[string]any{"cache_ttl": "1m"}),
	)
	h.shop("s")
	productID := h.add(simple("s", "a", "Lamp", 1))[0]
	require.Zero(t, h.rating(productID).GetCount())
	keys := func(cfg redisx.Config) (all []string) {
		client, err := redisx.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer client.Close()
		for _, node := range client.Nodes() {
			found, err := node.Do(t.Context(), node.B().Keys().Pattern("*"+productID+"*").Build()).AsStrSlice()
			require.NoError(t, err)
			all = append(all, found...)
		}
		return all
	}
	waittest.Until(t, func() bool { return len(keys(second)) == 1 }, "the product is not in the second Redis")
	for _, key := range keys(main) {
		require.Contains(t, key, "souk:tag", "the main Redis has versions only")
	}
	client, err := redisx.Open(t.Context(), second)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Do(t.Context(), client.B().Del().Key(keys(second)[0]).Build()).Error())
	require.Zero(t, h.rating(productID).GetCount())
	h.Deliver("comment", h.rated(productID, 1, 4.5, 2))
	waittest.Until(t, func() bool { return h.rating(productID).GetCount() == 2 }, "the cached product stays")
}
