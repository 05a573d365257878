package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"souk/apps/cart"
	"souk/apps/cart/internal/domain"
	"souk/apps/cart/internal/handler"
	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// abandon looks for carts that were not changed for an hour, as several processes at once.
func (h *harness) abandon(t *testing.T) {
	t.Helper()
	until := h.clock.Now().Add(-time.Hour)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			_, err := h.carts.Abandon(t.Context(), until.Add(-24*time.Hour), until, 100,
				func(c domain.Cart) (event.Event, error) {
					return event.New(t.Context(), "evt.cart.abandoned", c.OwnerID, c.Version, h.clock.Now(),
						&cartv1.CartAbandoned{UserId: c.OwnerID, CartVersion: c.Version})
				})
			return err
		})
	}
	require.NoError(t, g.Wait())
}

// The configured value is not used in place of an operator's that has not arrived yet.
func TestNoCartIsAbandonedWhileTheSettingIsNotKnown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	known := func() (time.Duration, bool) {
		cancel() // one pass is enough
		return time.Hour, false
	}
	noCarts := handler.Carts(nil) // the pass panics if it looks for carts
	require.NoError(t, handler.Abandon(noCarts, known, func() {}, clock.System{}, zap.NewNop())(ctx))
}

func TestUntouchedCartsOfUsersAreAbandonedOncePerVersion(t *testing.T) {
	t.Parallel()
	h := setup(t)
	tea := h.catalogue.sell(brl(990), 100)
	var owners []string
	fill := func(ctx context.Context, owner string) (context.Context, string) {
		h.add(t, ctx, tea, 2)
		owners = append(owners, owner)
		return ctx, owner
	}
	ana, anaID := fill(h.user())
	emptied, emptiedID := fill(h.user())
	changed, changedID := fill(h.user())
	_, guestID := fill(h.guest())
	_, err := h.client.ClearCart(emptied, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	require.NoError(t, h.carts.Save(t.Context(), owners...))
	h.abandon(t)
	require.Empty(t, h.Events(anaID), "the cart is not old enough")

	h.clock.Advance(time.Hour)
	h.add(t, changed, tea, 1) // the backup does not know that yet
	h.abandon(t)
	h.abandon(t)
	require.Equal(t, []string{"evt.cart.abandoned"}, h.Events(anaID))
	for _, other := range []string{emptiedID, changedID, guestID} {
		require.Empty(t, h.Events(other))
	}

	version := moduletest.Value[int64](h.Service, `select version from cart where owner_id = $1`, anaID)
	notification := cartv1.NewCartServiceClient(h.Client("notification"))
	ask := &cartv1.GetCartForNoticeRequest{UserId: anaID, Version: version}
	res, err := notification.GetCartForNotice(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, "19.80", res.GetCart().GetTotal().GetAmount())
	h.add(t, ana, tea, 1)
	_, err = notification.GetCartForNotice(t.Context(), ask)
	require.True(t, errs.Is(err, errs.NotFound), "it has changed: %v", err)
	_, err = h.order.GetCartForNotice(t.Context(), ask)
	require.ErrorContains(t, err, "forbidden")

	require.NoError(t, h.carts.Save(t.Context(), anaID))
	h.clock.Advance(time.Hour)
	h.abandon(t)
	require.Len(t, h.Events(anaID), 2, "it was abandoned again")
	h.clock.Advance(25 * time.Hour)
	h.abandon(t)
	require.Len(t, h.Events(anaID), 2)
	findings, err := cart.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.Len(t, findings, 2)
	for _, f := range findings {
		require.NotZero(t, f.Count)
		require.Zero(t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
}

func TestOrderedCartIsNotAbandoned(t *testing.T) {
	t.Parallel()
	h := setup(t)
	tea := h.catalogue.sell(brl(990), 100)
	ana, anaID := h.user()
	h.add(t, ana, tea, 2)
	require.NoError(t, h.carts.Save(t.Context(), anaID))
	h.clock.Advance(time.Hour)
	_, err := h.carts.RemoveOrdered(t.Context(), anaID, id.New(id.Order), h.clock.Now().UnixMicro(),
		[]domain.Line{{VariantID: tea, Quantity: 2}})
	require.NoError(t, err)
	h.abandon(t)
	require.NoError(t, h.carts.Save(t.Context(), anaID))
	h.clock.Advance(time.Hour)
	h.abandon(t)
	require.Empty(t, h.Events(anaID))
}

func TestServiceFindsAbandonedCartsUnlessThatIsOff(t *testing.T) {
	t.Parallel()
	leave := func(after string) (h *harness, userID string) {
		h = setup(t, moduletest.Config(map[string]any{"abandoned_after": after}))
		ana, anaID := h.user()
		h.add(t, ana, h.catalogue.sell(brl(990), 100), 1)
		require.NoError(t, h.carts.Save(t.Context(), anaID))
		h.clock.Advance(2 * time.Hour)
		return h, anaID
	}
	off, offID := leave("0s")
	on, onID := leave("1h")
	waittest.Until(t, func() bool { return len(on.Events(onID)) > 0 }, "the cart is not abandoned")
	require.Equal(t, []string{"evt.cart.abandoned"}, on.Events(onID))
	require.Empty(t, off.Events(offID))
}
