package tests

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/money"
)

func TestCartShowsLinesAndTotals(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	empty := h.get(t, ctx)
	require.Empty(t, empty.GetItems())
	require.Equal(t, "BRL 0.00", empty.GetSubtotal().GetCurrencyCode()+" "+empty.GetSubtotal().GetAmount())
	require.Equal(t, "0.00", empty.GetTotal().GetAmount())

	tea, cup := h.catalogue.sell(brl(1990), 10), h.catalogue.sell(brl(501), 2)
	h.add(t, ctx, tea, 2)
	h.add(t, ctx, cup, 1)
	c := h.add(t, ctx, tea, 1)
	require.Len(t, c.GetItems(), 2)
	first := c.GetItems()[0]
	require.Equal(t, tea, first.GetVariantId(), "in the order in which they were added")
	require.EqualValues(t, 3, first.GetQuantity())
	require.Equal(t, "Chá <b>verde</b> 🍵", first.GetTitle())
	require.Equal(t, "19.90", first.GetUnitPrice().GetAmount())
	require.Equal(t, "59.70", first.GetLineTotal().GetAmount())
	require.Equal(t, map[string]string{"Size": "M"}, first.GetOptions())
	require.True(t, first.GetAvailable())
	require.Equal(t, "64.71", c.GetSubtotal().GetAmount())
	require.Equal(t, "64.71", c.GetTotal().GetAmount())

	res, err := h.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: cup, Quantity: new(int64(3))})
	require.NoError(t, err)
	require.False(t, res.GetCart().GetItems()[1].GetAvailable(), "there are only two")
	require.Equal(t, "74.73", res.GetCart().GetSubtotal().GetAmount())
	res, err = h.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: cup, Quantity: new(int64)})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 3}, quantities(res.GetCart()))

	for range 2 { // removing twice is allowed
		removed, err := h.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: tea})
		require.NoError(t, err)
		require.Empty(t, removed.GetCart().GetItems())
	}
	h.add(t, ctx, cup, 1)
	cleared, err := h.client.ClearCart(ctx, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	require.Empty(t, cleared.GetCart().GetItems())
	require.Empty(t, h.get(t, ctx).GetItems())
}

func TestCartShowsCurrentPrices(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"offer_ttl": "500ms"}))
	ctx, _ := h.user()
	tea, cup := h.catalogue.sell(brl(1000), 10), h.catalogue.sell(brl(100), 10)
	h.add(t, ctx, tea, 2)
	h.add(t, ctx, cup, 1)
	before := h.catalogue.calls
	for range 10 {
		require.Equal(t, "21.00", h.get(t, ctx).GetSubtotal().GetAmount())
	}
	require.Equal(t, before, h.catalogue.calls, "offers come from memory")

	// The seller changes a price: shown at once.
	product := h.catalogue.change(tea, func(o *productv1.Offer) *productv1.Offer {
		return &productv1.Offer{
			VariantId: tea,
			ProductId: o.GetProductId(),
			Price:     brl(1500).ToProto(),
			Available: 1,
			ForSale:   true,
		}
	})
	h.bump(t, product)
	c := h.get(t, ctx)
	require.Equal(t, "31.00", c.GetSubtotal().GetAmount())
	require.False(t, c.GetItems()[0].GetAvailable())

	// A variant disappears without an increment of the tag: shown within half a second.
	h.catalogue.change(cup, func(*productv1.Offer) *productv1.Offer { return nil })
	h.clock.Advance(500 * time.Millisecond)
	c = h.get(t, ctx)
	gone := c.GetItems()[1]
	require.Equal(t, cup, gone.GetVariantId())
	require.False(t, gone.GetAvailable())
	require.Nil(t, gone.GetUnitPrice())
	require.Nil(t, gone.GetLineTotal())
	require.Equal(t, "30.00", c.GetSubtotal().GetAmount())
	_, err := h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: cup, Quantity: 1})
	code(t, errs.NotFound, err)
}

func TestAddFailsWithoutTheProductService(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	tea := h.catalogue.sell(brl(1000), 10)
	h.add(t, ctx, tea, 1)
	h.catalogue.mu.Lock()
	h.catalogue.err = errs.New(errs.Unavailable, "away").WithRetryAfter(time.Second)
	h.catalogue.mu.Unlock()
	_, err := h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: tea, Quantity: 1})
	code(t, errs.Unavailable, err)
	h.catalogue.mu.Lock()
	h.catalogue.err = nil
	h.catalogue.mu.Unlock()
	require.Equal(t, map[string]int64{tea: 1}, quantities(h.get(t, ctx)), "nothing was added")
}

func TestInvalidChangesAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	tea := h.catalogue.sell(brl(1000), 10)
	other := h.catalogue.sell(money.New(100, "JPY"), 10)
	stopped := h.catalogue.sell(brl(1), 10)
	h.catalogue.change(stopped, func(o *productv1.Offer) *productv1.Offer {
		return &productv1.Offer{VariantId: stopped, ProductId: o.GetProductId(), Price: o.GetPrice(), ForSale: false}
	})
	h.add(t, ctx, tea, 9998)
	for name, c := range map[string]struct {
		variant  string
		quantity int64
		code     errs.Code
		path     string
	}{
		"zero":            {tea, 0, errs.Invalid, "quantity"},
		"negative":        {tea, -1, errs.Invalid, "quantity"},
		"absurd":          {tea, 1 << 60, errs.Invalid, "quantity"},
		"sum too large":   {tea, 2, errs.Invalid, "quantity"},
		"no variant":      {"", 1, errs.Invalid, "variantId"},
		"long variant":    {strings.Repeat("v", 65), 1, errs.Invalid, "variantId"},
		"unknown":         {id.New(id.Variant), 1, errs.NotFound, ""},
		"no such form":    {"version", 1, errs.NotFound, ""},
		"SQL":             {"'; drop table cart; --", 1, errs.NotFound, ""},
		"not for sale":    {stopped, 1, errs.NotFound, ""},
		"other currency":  {other, 1, errs.Unprocessable, ""},
		"other's product": {"prd_0198c5f27e6b7c1f8a3d5e9b04c7d21a", 1, errs.NotFound, ""},
	} {
		_, err := h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: c.variant, Quantity: c.quantity})
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
		if c.path != "" {
			require.Equal(t, c.path, errs.From(err).Fields[0].Path, name)
		}
	}
	for name, c := range map[string]struct {
		variant  string
		quantity *int64
		code     errs.Code
	}{
		"no quantity":  {tea, nil, errs.Invalid},
		"negative":     {tea, new(int64(-1)), errs.Invalid},
		"too many":     {tea, new(int64(10000)), errs.Invalid},
		"not in it":    {other, new(int64(1)), errs.NotFound},
		"no such form": {"lines", new(int64(1)), errs.NotFound},
	} {
		_, err := h.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: c.variant, Quantity: c.quantity})
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
	}
	_, err := h.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: "version"})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 9998}, quantities(h.get(t, ctx)), "refusals change nothing")

	// An empty cart accepts any currency.
	_, err = h.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: tea})
	require.NoError(t, err)
	require.Equal(t, "JPY", h.add(t, ctx, other, 3).GetSubtotal().GetCurrencyCode())
}

func TestCartHoldsTwoHundredLines(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	var ids []string
	for range 200 {
		v := h.catalogue.sell(brl(100), 10)
		ids = append(ids, v)
		h.add(t, ctx, v, 1)
	}
	_, err := h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: h.catalogue.sell(brl(1), 1), Quantity: 1})
	code(t, errs.Unprocessable, err)
	c := h.add(t, ctx, ids[0], 1)
	require.Equal(t, "201.00", c.GetSubtotal().GetAmount())
	for i, it := range c.GetItems() {
		require.Equal(t, ids[i], it.GetVariantId())
	}
}

func TestCallersHaveAccessOnlyToTheirCarts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user()
	bob, _ := h.user()
	tea := h.catalogue.sell(brl(1000), 10)
	h.add(t, alice, tea, 1)
	require.Empty(t, h.get(t, bob).GetItems(), "bob has a cart of his own")
	_, err := h.client.GetCart(h.As(identity.Anonymous()), &cartv1.GetCartRequest{})
	code(t, errs.Unauthenticated, err)
	lines := &cartv1.GetLinesRequest{OwnerId: aliceID}
	for _, ctx := range []context.Context{alice, bob} {
		_, err := h.client.GetLines(ctx, lines)
		require.Error(t, err)
	}
	for _, caller := range []string{"shop", "auth"} {
		_, err := cartv1.NewCartServiceClient(h.Client(caller)).GetLines(t.Context(), lines)
		require.Error(t, err)
	}
	res, err := h.order.GetLines(t.Context(), lines)
	require.NoError(t, err)
	require.Len(t, res.GetLines(), 1)
	_, err = h.client.MergeCart(bob, &cartv1.MergeCartRequest{GuestId: id.New(id.Guest), UserId: aliceID})
	require.Error(t, err)
}

func TestConcurrentAddsLoseNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	tea, cup := h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { h.add(t, ctx, []string{tea, cup}[i%2], 1) })
	}
	wg.Wait()
	require.Equal(t, map[string]int64{tea: 100, cup: 100}, quantities(h.get(t, ctx)))
}

func TestOrderedItemsAreRemovedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, uid := h.user()
	tea, cup, pot := h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 2)
	h.add(t, ctx, cup, 5)
	order := &cartv1.RemoveOrderedRequest{OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{
		{
			VariantId: tea,
			Quantity:  1,
		},
		{VariantId: cup, Quantity: 3},
		{VariantId: pot, Quantity: 1},
		{VariantId: tea, Quantity: 1},
	}}
	h.add(t, ctx, tea, 1) // while the checkout runs
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := h.order.RemoveOrdered(t.Context(), order)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int64{tea: 1, cup: 2}, quantities(h.get(t, ctx)))

	// The same holds if Redis is lost after the write-back.
	_, err := h.carts.WriteBack(t.Context(), true)
	require.NoError(t, err)
	h.lose(t, uid)
	_, err = h.order.RemoveOrdered(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 1, cup: 2}, quantities(h.get(t, ctx)))

	for name, bad := range map[string]*cartv1.RemoveOrderedRequest{
		"no order": {OwnerId: uid, OrderId: "x,y"},
		"negative line": {
			OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{{VariantId: tea, Quantity: -1}},
		},
		"no variant": {
			OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{{VariantId: "version", Quantity: 1}},
		},
	} {
		_, err := h.order.RemoveOrdered(t.Context(), bad)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), name)
	}
}

func TestMergeMovesAGuestsCart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	user, uid := h.user()
	guest, gid := h.guest()
	tea, cup, pot := h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10)
	h.add(t, user, tea, 9000)
	h.add(t, user, cup, 1)
	h.add(t, guest, pot, 2)
	h.add(t, guest, tea, 5000)
	merge := &cartv1.MergeCartRequest{GuestId: gid, UserId: uid}
	for range 2 {
		_, err := h.auth.MergeCart(t.Context(), merge)
		require.NoError(t, err)
		c := h.get(t, user)
		require.Equal(t, map[string]int64{tea: 9999, cup: 1, pot: 2}, quantities(c))
		require.Equal(t, pot, c.GetItems()[2].GetVariantId())
		require.Empty(t, h.get(t, guest).GetItems())
		// A loss of Redis right after the merge loses nothing and restores nothing in the guest's cart.
		h.lose(t, uid)
		h.lose(t, gid)
	}
	_, err := h.auth.MergeCart(t.Context(), &cartv1.MergeCartRequest{GuestId: uid, UserId: gid})
	code(t, errs.Invalid, err)
}

func TestMergedItemOfAnotherCurrencyIsUnavailable(t *testing.T) {
	t.Parallel()
	h := setup(t)
	user, uid := h.user()
	guest, gid := h.guest()
	h.add(t, user, h.catalogue.sell(brl(100), 10), 1)
	h.add(t, guest, h.catalogue.sell(money.New(500, "JPY"), 10), 1)
	_, err := h.auth.MergeCart(t.Context(), &cartv1.MergeCartRequest{GuestId: gid, UserId: uid})
	require.NoError(t, err)
	c := h.get(t, user)
	require.Equal(t, "1.00", c.GetSubtotal().GetAmount())
	require.Len(t, c.GetItems(), 2)
	require.False(t, c.GetItems()[1].GetAvailable(), "it cannot be bought together with the rest")
	require.Equal(t, "500", c.GetItems()[1].GetUnitPrice().GetAmount())
}
