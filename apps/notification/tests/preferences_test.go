package tests

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func (h *harness) shipped(orderID string) {
	h.t.Helper()
	part := h.part(orderID)
	h.Deliver(
		"order",
		h.event("evt.order.shipped", orderID, &orderv1.OrderShipped{OrderId: orderID, ShopOrderId: part}),
	)
}

func TestPreferencesDecideWhatIsSent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	order := h.place("zoe@example.com", "")
	zoe := h.customer(order)
	no := false
	set := func(kinds map[string]*notificationv1.ChannelChoices) error {
		_, err := h.gateway().SetNotificationPreferences(h.AsUser(zoe),
			&notificationv1.SetNotificationPreferencesRequest{Kinds: kinds})
		return err
	}
	require.Equal(t, errs.Invalid, errs.CodeOf(set(map[string]*notificationv1.ChannelChoices{"nonsense": {}})))
	require.Equal(t, errs.Invalid, errs.CodeOf(set(map[string]*notificationv1.ChannelChoices{
		"order_confirmed": {Email: &no},
	})), "it cannot be switched off")
	require.NoError(t, set(map[string]*notificationv1.ChannelChoices{
		"order_confirmed": {Inbox: &no}, "order_shipped": {Email: &no},
	}))
	got, err := h.gateway().GetNotificationPreferences(h.AsUser(zoe),
		&notificationv1.GetNotificationPreferencesRequest{})
	require.NoError(t, err)
	kinds := got.GetPreferences().GetKinds()
	require.Len(t, kinds, len(domain.Kinds()))
	require.False(t, kinds["order_shipped"].GetEmail())
	require.True(t, kinds["order_shipped"].GetInbox())
	require.True(t, kinds["order_delivered"].GetEmail())

	h.Deliver("order", h.confirmed(order))
	h.mails("zoe@example.com", 1)
	h.shipped(order)
	require.Equal(t, "order_shipped", h.inbox(zoe, 1).GetNotifications()[0].GetKind())
	waittest.Until(t, func() bool { return h.count("queued") == 0 }, "a delivery waits")
	h.mails("zoe@example.com", 1)

	other, err := h.gateway().GetNotificationPreferences(h.AsUser(id.New(id.User)),
		&notificationv1.GetNotificationPreferencesRequest{})
	require.NoError(t, err)
	require.True(t, other.GetPreferences().GetKinds()["order_shipped"].GetEmail())
}

// The link in a mail ends mails of its kind, for a user as well as for an address that a guest typed.
func TestUnsubscribeLinkEndsMailsOfItsKind(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(h *harness) string{
		"user":  func(h *harness) string { return h.place("zoe@example.com", "") },
		"guest": func(h *harness) string { return h.place("", "zoe@example.com") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.Another() // they share the key
			first := order(h)
			h.shipped(first)
			m := h.mails("zoe@example.com", 1)[0]
			require.Equal(t, []string{"List-Unsubscribe=One-Click"}, m.Headers["List-Unsubscribe-Post"])
			link := strings.Trim(m.Headers["List-Unsubscribe"][0], "<>")
			require.True(t, strings.HasPrefix(link, "https://souk.example/v1/unsubscribe?token="), link)
			require.Contains(t, m.Text, link)
			require.NotContains(t, link, "zoe")
			u, err := url.Parse(link)
			require.NoError(t, err)
			token := u.Query().Get("token")

			says, err := h.gateway().GetSubscription(t.Context(), &notificationv1.GetSubscriptionRequest{Token: token})
			require.NoError(t, err)
			require.Equal(t, "order_shipped", says.GetKind())
			for _, forged := range []string{"x", token + "x", "x" + token, token[:len(token)-2]} {
				_, err := h.gateway().Unsubscribe(t.Context(), &notificationv1.UnsubscribeRequest{Token: forged})
				require.Equal(t, errs.NotFound, errs.CodeOf(err), forged)
			}
			for range 2 {
				_, err := h.gateway().Unsubscribe(t.Context(), &notificationv1.UnsubscribeRequest{Token: token})
				require.NoError(t, err)
			}
			again := first
			if name == "guest" {
				again = order(h) // another order with the same address
			} else {
				h.change(first, func(o *orderv1.Order) { o.ShopOrders[0].Id = id.New(id.ShopOrder) })
			}
			h.shipped(again)
			h.Deliver("order", h.confirmed(again)) // which cannot be switched off, and has no link
			got := h.mails("zoe@example.com", 2)
			require.Equal(t, "Your order S-Ünïcode-42 is confirmed", got[0].Subject)
			require.Empty(t, got[0].Headers["List-Unsubscribe"])
			waittest.Until(t, func() bool { return h.count("queued") == 0 }, "a delivery waits")
			h.mails("zoe@example.com", 2)
		})
	}
}

// Mails that can be switched off wait for the end of the quiet hours. Others do not.
func TestMailsWaitDuringQuietHours(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Date(2026, 11, 29, 23, 30, 0, 0, time.UTC))
	h := setup(t, moduletest.Clock(c))
	order := h.place("zoe@example.com", "")
	zoe := h.customer(order)
	set := func(q *notificationv1.QuietHours) error {
		_, err := h.gateway().SetNotificationPreferences(h.AsUser(zoe),
			&notificationv1.SetNotificationPreferencesRequest{QuietHours: q})
		return err
	}
	for _, wrong := range []*notificationv1.QuietHours{
		{From: "25:00", To: "07:00", TimeZone: "UTC"}, {From: "22:00", To: "22:00", TimeZone: "UTC"},
		{From: "22:00", To: "07:00", TimeZone: "Atlantis"},
	} {
		require.Equal(t, errs.Invalid, errs.CodeOf(set(wrong)))
	}
	require.NoError(t, set(&notificationv1.QuietHours{From: "22:00", To: "07:00", TimeZone: "Europe/London"}))
	part := h.part(order)
	e, err := event.New(t.Context(), "evt.order.shipped", order, 3, c.Now(),
		&orderv1.OrderShipped{OrderId: order, ShopOrderId: part})
	require.NoError(t, err)
	h.Deliver("order", e)
	waittest.Until(t, func() bool { return h.Metric("delivery_delayed_total") == 1 }, "it does not wait")
	h.Deliver("order", h.confirmed(order))
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", h.mails("zoe@example.com", 1)[0].Subject)
	h.inbox(zoe, 2)
	c.Advance(7*time.Hour + 30*time.Minute)
	require.Equal(t, "Your order S-Ünïcode-42 is on its way", h.mails("zoe@example.com", 2)[0].Subject)
}

func TestQuietHoursEndInTheUsersZone(t *testing.T) {
	t.Parallel()
	saoPaulo := domain.QuietHours{From: "22:00", To: "07:00", TimeZone: "America/Sao_Paulo"} // UTC-3
	berlin := domain.QuietHours{From: "01:00", To: "04:00", TimeZone: "Europe/Berlin"}
	for name, c := range map[string]struct {
		quiet domain.QuietHours
		now   string
		left  time.Duration
	}{
		"before":            {saoPaulo, "2026-11-29T00:59:00Z", 0},
		"at its beginning":  {saoPaulo, "2026-11-29T01:00:00Z", 9 * time.Hour},
		"after midnight":    {saoPaulo, "2026-11-29T03:30:00Z", 6*time.Hour + 30*time.Minute},
		"at its end":        {saoPaulo, "2026-11-29T10:00:00Z", 0},
		"within a day":      {berlin, "2026-11-29T01:00:00Z", 2 * time.Hour},
		"night of 25 hours": {berlin, "2026-10-24T23:30:00Z", 3*time.Hour + 30*time.Minute}, // 01:30 summer time
		"none":              {domain.QuietHours{}, "2026-11-29T01:00:00Z", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.now)
			require.NoError(t, err)
			require.Equal(t, c.left, c.quiet.Left(now))
		})
	}
}
