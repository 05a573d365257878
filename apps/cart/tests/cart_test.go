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
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
	"souk/pkg/redistest"
)

func TestACartIsShownWhole(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	empty := k.get(t, ctx)
	require.Empty(t, empty.GetItems())
	require.Equal(t, "BRL 0.00", empty.GetSubtotal().GetCurrencyCode()+" "+empty.GetSubtotal().GetAmount())
	require.Equal(t, "0.00", empty.GetTotal().GetAmount())

	tea, cup := k.catalogue.sell(brl(1990), 10), k.catalogue.sell(brl(501), 2)
	k.add(t, ctx, tea, 2)
	k.add(t, ctx, cup, 1)
	c := k.add(t, ctx, tea, 1)
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

	res, err := k.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: cup, Quantity: new(int64(3))})
	require.NoError(t, err)
	require.False(t, res.GetCart().GetItems()[1].GetAvailable(), "there are only two")
	require.Equal(t, "74.73", res.GetCart().GetSubtotal().GetAmount())
	res, err = k.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: cup, Quantity: new(int64)})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 3}, quantities(res.GetCart()))

	for range 2 { // it may be sent again
		removed, err := k.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: tea})
		require.NoError(t, err)
		require.Empty(t, removed.GetCart().GetItems())
	}
	k.add(t, ctx, cup, 1)
	cleared, err := k.client.ClearCart(ctx, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	require.Empty(t, cleared.GetCart().GetItems())
	require.Empty(t, k.get(t, ctx).GetItems())
}

func TestPricesAreThoseOfNow(t *testing.T) {
	t.Parallel()
	k := setupOn(t, redistest.Client(t), clock.NewManual(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), 500*time.Millisecond)
	ctx, _ := k.user(t)
	tea, cup := k.catalogue.sell(brl(1000), 10), k.catalogue.sell(brl(100), 10)
	k.add(t, ctx, tea, 2)
	k.add(t, ctx, cup, 1)
	before := k.catalogue.calls
	for range 10 {
		require.Equal(t, "21.00", k.get(t, ctx).GetSubtotal().GetAmount())
	}
	require.Equal(t, before, k.catalogue.calls, "offers come from memory")

	// The seller changes a price: shown at once.
	product := k.catalogue.change(tea, func(o *productv1.Offer) *productv1.Offer {
		return &productv1.Offer{VariantId: tea, ProductId: o.GetProductId(), Price: brl(1500).Proto(), Available: 1, ForSale: true}
	})
	k.bump(t, product)
	c := k.get(t, ctx)
	require.Equal(t, "31.00", c.GetSubtotal().GetAmount())
	require.False(t, c.GetItems()[0].GetAvailable())

	// Pieces are sold, of which nobody tells: shown within half a second.
	k.catalogue.change(cup, func(*productv1.Offer) *productv1.Offer { return nil })
	k.clock.Advance(500 * time.Millisecond)
	c = k.get(t, ctx)
	gone := c.GetItems()[1]
	require.Equal(t, cup, gone.GetVariantId())
	require.False(t, gone.GetAvailable())
	require.Nil(t, gone.GetUnitPrice())
	require.Nil(t, gone.GetLineTotal())
	require.Equal(t, "30.00", c.GetSubtotal().GetAmount())
	_, err := k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: cup, Quantity: 1})
	code(t, errs.NotFound, err)
}

func TestProductServiceAway(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	tea := k.catalogue.sell(brl(1000), 10)
	k.add(t, ctx, tea, 1)
	k.catalogue.mu.Lock()
	k.catalogue.err = errs.New(errs.Unavailable, "away").WithRetryAfter(time.Second)
	k.catalogue.mu.Unlock()
	_, err := k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: tea, Quantity: 1})
	code(t, errs.Unavailable, err)
	k.catalogue.mu.Lock()
	k.catalogue.err = nil
	k.catalogue.mu.Unlock()
	require.Equal(t, map[string]int64{tea: 1}, quantities(k.get(t, ctx)), "nothing was added")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	tea := k.catalogue.sell(brl(1000), 10)
	other := k.catalogue.sell(money.New(100, "JPY"), 10)
	stopped := k.catalogue.sell(brl(1), 10)
	k.catalogue.change(stopped, func(o *productv1.Offer) *productv1.Offer {
		return &productv1.Offer{VariantId: stopped, ProductId: o.GetProductId(), Price: o.GetPrice(), ForSale: false}
	})
	k.add(t, ctx, tea, 9998)
	for name, c := range map[string]struct {
		variant  string
		quantity int64
		code     errs.Code
		path     string
	}{
		"zero":            {tea, 0, errs.Invalid, "quantity"},
		"negative":        {tea, -1, errs.Invalid, "quantity"},
		"absurd":          {tea, 1 << 60, errs.Invalid, "quantity"},
		"together":        {tea, 2, errs.Invalid, "quantity"},
		"no variant":      {"", 1, errs.Invalid, "variantId"},
		"long variant":    {strings.Repeat("v", 65), 1, errs.Invalid, "variantId"},
		"unknown":         {id.New(id.Variant), 1, errs.NotFound, ""},
		"no such form":    {"version", 1, errs.NotFound, ""},
		"SQL":             {"'; drop table cart; --", 1, errs.NotFound, ""},
		"not for sale":    {stopped, 1, errs.NotFound, ""},
		"other currency":  {other, 1, errs.Unprocessable, ""},
		"other's product": {"prd_0198c5f27e6b7c1f8a3d5e9b04c7d21a", 1, errs.NotFound, ""},
	} {
		_, err := k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: c.variant, Quantity: c.quantity})
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
		_, err := k.client.UpdateItem(ctx, &cartv1.UpdateItemRequest{VariantId: c.variant, Quantity: c.quantity})
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
	}
	_, err := k.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: "version"})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 9998}, quantities(k.get(t, ctx)), "refusals change nothing")

	// Emptied, the cart takes any currency.
	_, err = k.client.RemoveItem(ctx, &cartv1.RemoveItemRequest{VariantId: tea})
	require.NoError(t, err)
	require.Equal(t, "JPY", k.add(t, ctx, other, 3).GetSubtotal().GetCurrencyCode())
}

func TestTwoHundredLines(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	var ids []string
	for range 200 {
		v := k.catalogue.sell(brl(100), 10)
		ids = append(ids, v)
		k.add(t, ctx, v, 1)
	}
	_, err := k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: k.catalogue.sell(brl(1), 1), Quantity: 1})
	code(t, errs.Unprocessable, err)
	c := k.add(t, ctx, ids[0], 1)
	require.Equal(t, "201.00", c.GetSubtotal().GetAmount())
	for i, it := range c.GetItems() {
		require.Equal(t, ids[i], it.GetVariantId())
	}
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	k := setup(t)
	alice, aliceID := k.user(t)
	bob, _ := k.user(t)
	tea := k.catalogue.sell(brl(1000), 10)
	k.add(t, alice, tea, 1)
	require.Empty(t, k.get(t, bob).GetItems(), "bob has a cart of his own")
	_, err := k.client.GetCart(context.Background(), &cartv1.GetCartRequest{})
	code(t, errs.Unauthenticated, err)
	lines := &cartv1.GetLinesRequest{OwnerId: aliceID}
	for _, ctx := range []context.Context{alice, bob, k.service(t, "shop"), k.service(t, "auth")} {
		_, err := k.client.GetLines(ctx, lines)
		require.Error(t, err)
	}
	res, err := k.client.GetLines(k.service(t, "order"), lines)
	require.NoError(t, err)
	require.Len(t, res.GetLines(), 1)
	_, err = k.client.MergeCart(bob, &cartv1.MergeCartRequest{GuestId: id.New(id.Guest), UserId: aliceID})
	require.Error(t, err)
}

func TestConcurrentAddsLoseNothing(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	tea, cup := k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { k.add(t, ctx, []string{tea, cup}[i%2], 1) })
	}
	wg.Wait()
	require.Equal(t, map[string]int64{tea: 100, cup: 100}, quantities(k.get(t, ctx)))
}

func TestWhatWasOrderedIsTakenOutOnce(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, uid := k.user(t)
	tea, cup, pot := k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 2)
	k.add(t, ctx, cup, 5)
	order := &cartv1.RemoveOrderedRequest{OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{
		{VariantId: tea, Quantity: 1}, {VariantId: cup, Quantity: 3}, {VariantId: pot, Quantity: 1}, {VariantId: tea, Quantity: 1},
	}}
	k.add(t, ctx, tea, 1) // while the checkout runs
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := k.client.RemoveOrdered(k.service(t, "order"), order)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int64{tea: 1, cup: 2}, quantities(k.get(t, ctx)))

	// Also when Redis was lost after the write-back.
	_, err := k.carts.WriteBack(t.Context(), true)
	require.NoError(t, err)
	k.lose(t, uid)
	_, err = k.client.RemoveOrdered(k.service(t, "order"), order)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{tea: 1, cup: 2}, quantities(k.get(t, ctx)))

	for name, bad := range map[string]*cartv1.RemoveOrderedRequest{
		"no order":      {OwnerId: uid, OrderId: "x,y"},
		"negative line": {OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{{VariantId: tea, Quantity: -1}}},
		"no variant":    {OwnerId: uid, OrderId: id.New(id.Order), Lines: []*cartv1.Line{{VariantId: "version", Quantity: 1}}},
	} {
		_, err := k.client.RemoveOrdered(k.service(t, "order"), bad)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), name)
	}
}

func TestAGuestsCartIsMerged(t *testing.T) {
	t.Parallel()
	k := setup(t)
	user, uid := k.user(t)
	guest, gid := k.guest(t)
	tea, cup, pot := k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10)
	k.add(t, user, tea, 9000)
	k.add(t, user, cup, 1)
	k.add(t, guest, pot, 2)
	k.add(t, guest, tea, 5000)
	merge := &cartv1.MergeCartRequest{GuestId: gid, UserId: uid}
	for range 2 {
		_, err := k.client.MergeCart(k.service(t, "auth"), merge)
		require.NoError(t, err)
		c := k.get(t, user)
		require.Equal(t, map[string]int64{tea: 9999, cup: 1, pot: 2}, quantities(c))
		require.Equal(t, pot, c.GetItems()[2].GetVariantId())
		require.Empty(t, k.get(t, guest).GetItems())
		// A Redis lost right after it takes nothing, and brings nothing back.
		k.lose(t, uid)
		k.lose(t, gid)
	}
	_, err := k.client.MergeCart(k.service(t, "auth"), &cartv1.MergeCartRequest{GuestId: uid, UserId: gid})
	code(t, errs.Invalid, err)
}

func TestAMergedCartOfTwoCurrencies(t *testing.T) {
	t.Parallel()
	k := setup(t)
	user, uid := k.user(t)
	guest, gid := k.guest(t)
	k.add(t, user, k.catalogue.sell(brl(100), 10), 1)
	k.add(t, guest, k.catalogue.sell(money.New(500, "JPY"), 10), 1)
	_, err := k.client.MergeCart(k.service(t, "auth"), &cartv1.MergeCartRequest{GuestId: gid, UserId: uid})
	require.NoError(t, err)
	c := k.get(t, user)
	require.Equal(t, "1.00", c.GetSubtotal().GetAmount())
	require.Len(t, c.GetItems(), 2)
	require.False(t, c.GetItems()[1].GetAvailable(), "it cannot be bought together with the rest")
	require.Equal(t, "500", c.GetItems()[1].GetUnitPrice().GetAmount())
}
