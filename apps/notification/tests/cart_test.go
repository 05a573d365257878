package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/waittest"
)

// user adds a user with a verified address.
func (h *harness) user(address, locale string) (userID string) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	userID = id.New(id.User)
	h.others.users[userID] = &userv1.User{
		Id: userID, Email: address, EmailVerified: true, Name: "Ana", Preferences: &userv1.Preferences{Locale: &locale},
	}
	return userID
}

// abandoned is the event that a version of a user's cart was abandoned.
func (h *harness) abandoned(userID string, version int64) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), "evt.cart.abandoned", userID, version, time.Now().UTC(),
		&cartv1.CartAbandoned{UserId: userID, CartVersion: version})
	require.NoError(h.t, err)
	return e
}

// fill sets a version of a cart, with a line that can be bought, if available, and one that cannot.
func (h *harness) fill(version int64, available bool) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	brl := func(minor int64) *moneyv1.Money { return money.New(minor, "BRL").ToProto() }
	h.others.carts[version] = &cartv1.Cart{Total: brl(91980), Items: []*cartv1.CartItem{
		{Title: "Chá www.evil.example", Quantity: 2, LineTotal: brl(1980), Available: available},
		{Title: "Sold out", Quantity: 1, LineTotal: brl(90000)},
	}}
}

func TestAbandonedCartIsMailedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.fill(7, true)
	h.fill(8, true)
	h.fill(9, false)
	ana, duc := h.user("ana@example.com", "pt-BR"), h.user("duc@example.com", "vi")
	e := h.abandoned(ana, 7)
	h.Publish(e, "cart")
	h.Deliver("cart", e, h.abandoned(ana, 7)) // one cart, also if it is published again
	m := h.mails("ana@example.com", 1)[0]
	require.Equal(t, "Seu carrinho continua aqui", m.Subject)
	require.Contains(t, m.Text, "2 x Chá  BRL 19.80")
	require.NotContains(t, m.Text, "Sold out")
	require.NotContains(t, m.Text, "919.80", "the amount is that of the tea")
	require.NotContains(t, m.Text, "evil")
	require.Contains(t, m.Text, "https://souk.example/v1/cart")
	require.Equal(t, []string{"List-Unsubscribe=One-Click"}, m.Headers["List-Unsubscribe-Post"])
	inbox := h.inbox(ana, 1)
	require.NotContains(t, inbox.GetNotifications()[0].GetBody(), "919.80")
	require.Equal(t, "/v1/cart", inbox.GetNotifications()[0].GetLink())

	h.Deliver("cart", h.abandoned(duc, 8), h.abandoned(duc, 9), h.abandoned(duc, 10))
	require.Equal(t, "Giỏ hàng của bạn vẫn còn đây", h.mails("duc@example.com", 1)[0].Subject)
	const skipped = `select count(*) from notice where state = 'skipped' and last_error = $1`
	for _, reason := range []string{"nothing in the cart can be bought", "the cart has changed"} {
		waittest.Until(t, func() bool { return moduletest.Value[int](h.Service, skipped, reason) == 1 }, "%s", reason)
	}
	h.mails("ana@example.com", 1)
	h.mails("duc@example.com", 1)
}

func TestAbandonedCartCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.fill(7, true)
	ana := h.user("ana@example.com", "en")
	no := false
	_, err := h.gateway().SetNotificationPreferences(h.AsUser(ana), &notificationv1.SetNotificationPreferencesRequest{
		Kinds: map[string]*notificationv1.ChannelChoices{"cart_abandoned": {Email: &no}},
	})
	require.NoError(t, err)
	h.Deliver("cart", h.abandoned(ana, 7))
	const done = `select count(*) from delivery where recipient = $1 and channel = 'inbox' and state = 'sent'`
	waittest.Until(t, func() bool { return moduletest.Value[int](h.Service, done, ana) == 1 }, "not in the inbox")
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from delivery where channel = 'email'`))
	require.Empty(t, h.sink.Messages())
}
