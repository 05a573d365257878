package tests

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/product"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/cqrs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// states is what a shop service with these shops says.
func states(events ...event.Event) cqrs.States {
	return func(_ context.Context, _ []string, f func(event.Event) error) (int, error) {
		for i, e := range events {
			if err := f(e); err != nil {
				return i, err
			}
		}
		return len(events), nil
	}
}

// An earlier release stored an event with a version that no shop ever reaches.
func TestRebuildRepairsACopyWithAVersionThatHidesAllEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, _ := h.shop("s")
	h.add(simple("s", "a", "Lamp", 1))
	lamps := func() int { return len(h.search(&productv1.SearchProductsRequest{Query: "lamp"}).GetProducts()) }
	require.Equal(t, 1, lamps())
	_, err := h.Pool.Exec(t.Context(), `update shop_ref set status = 'suspended', version = $1, relist_after = ''`,
		int64(math.MaxInt64-1))
	require.NoError(t, err)
	h.waitForListings()
	require.Zero(t, lamps())
	h.shopUpdate(shopID, "Shop s", "active", 3)
	require.Zero(t, lamps(), "the event is ignored")

	missed := id.New(id.Shop)
	n, err := h.Rebuild(t.Context(), product.Shops, states(
		h.shopUpdated(shopID, "Shop s", "active", 3), h.shopUpdated(missed, "Missed", "suspended", 2)))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	h.waitForListings()
	require.Equal(t, 1, lamps())
	require.Equal(t, "suspended",
		moduletest.Value[string](h.Service, `select status from shop_ref where shop_id = $1`, missed))
	h.shopUpdate(shopID, "Shop s", "suspended", 4)
	require.Zero(t, lamps(), "events count again")
}

// The shop changes while its state is read: the change counts, whether the rebuild has read it or not.
func TestEventsDuringARebuildOfShopsCount(t *testing.T) {
	t.Parallel()
	for _, read := range []int64{4, 5} {
		h := setup(t)
		shopID, _ := h.shop("s")
		h.add(simple("s", "a", "Lamp", 1))
		h.shopUpdate(shopID, "Third", "active", 3)
		fifth := h.shopUpdated(shopID, "Fifth", "active", 5)
		names := map[int64]event.Event{4: h.shopUpdated(shopID, "Fourth", "active", 4), 5: fifth}
		_, err := h.Rebuild(t.Context(), product.Shops,
			func(ctx context.Context, known []string, f func(event.Event) error) (int, error) {
				h.Publish(fifth, "shop")
				waittest.Until(t, func() bool {
					return moduletest.Value[bool](h.Service, `select exists (select from pg_locks
						where relation = 'shop_ref'::regclass and not granted)`)
				}, "the consumer does not wait for the rebuild")
				require.Equal(t, "Third", moduletest.Value[string](h.Service, `select name from shop_ref`),
					"readers do not wait")
				return states(names[read])(ctx, known, f)
			})
		require.NoError(t, err)
		waittest.Until(t, func() bool {
			return moduletest.Value[bool](h.Service, `select exists (select from inbox where event_id = $1)`, fifth.ID)
		}, "the event is not handled")
		require.Equal(t, "Fifth", moduletest.Value[string](h.Service, `select name from shop_ref`))
		require.EqualValues(t, 5, moduletest.Value[int64](h.Service, `select version from shop_ref`))
	}
}

func TestARebuildThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID, _ := h.shop("s")
	h.add(simple("s", "a", "Lamp", 1))
	h.shopUpdate(shopID, "Third", "active", 3)
	foreign, err := event.New(t.Context(), "evt.shop.member_invited", shopID, 1, h.clock.Now(), &productv1.Product{})
	require.NoError(t, err)
	_, err = h.Rebuild(t.Context(), product.Shops, states(h.shopUpdated(shopID, "Second", "active", 2), foreign))
	require.ErrorContains(t, err, "unexpected event")
	require.EqualValues(t, 3, moduletest.Value[int64](h.Service, `select version from shop_ref`))
}
