package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
)

func TestChangedSettingsApplyToTheNextCheckout(t *testing.T) {
	t.Parallel()
	h := setup(t, map[string]any{"cash": map[string]any{"max_pieces": 6}})
	configured := h.Configured()
	require.InDelta(t, 6, configured["order.cash.max_pieces"], 0)
	require.Equal(t, "168h0m0s", configured["order.expire_unpaid_after"])

	h.offer("var_cheap", "shp_1", "1.00", 1_000_000)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.fill(guest.ID, line("var_cheap", 7))
	_, err := h.checkout(guest, "1", cash("a@example.com"))
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)
	h.Set("order.cash.guests", true)
	_, err = h.checkout(guest, "2", cash("a@example.com"))
	require.ErrorContains(t, err, "at most 6 pieces, the cart has 7")
	h.Set("order.cash.max_pieces", 7)
	h.Set("order.expire_unpaid_after", "48h")
	began := time.Now()
	o, err := h.checkout(guest, "3", cash("a@example.com"))
	require.NoError(t, err)
	expires := moduletest.Value[time.Time](h.Service, `select expires_at from orders where id = $1`, o.GetId())
	require.WithinDuration(t, began.Add(48*time.Hour), expires, time.Minute)
	h.requireConsistent()
}
