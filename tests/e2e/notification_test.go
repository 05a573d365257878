package e2e

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

type inboxJSON struct {
	Notifications []struct{ ID, Kind, Title, Link string }
	UnreadCount   int
}

// TestCustomerIsNotified goes the way of a notice: into the inbox and its stream, by mail in the customer's language,
// by push, and as a text message. The link in the mail ends such mails. Then the customer abandons a cart.
func TestCustomerIsNotified(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	shop := handle("notify")
	seller := s.seller(shop)
	v := seller.sell(shop, "Tea", "10.00", 50).Variants[0].ID
	to := email("notified")
	ana := s.user(to, "customer")
	ana.send(http.MethodPatch, "/v1/me", obj{
		"phone": "+55 11 91234-5678", "preferences": obj{"locale": "pt-BR"},
	}).want(http.StatusOK)
	var device struct{ ID string }
	ana.post("/v1/me/devices", obj{"kind": "fcm", "token": handle("token")}).want(http.StatusCreated).into(&device)
	ana.send(http.MethodPut, "/v1/me/notification-preferences", obj{
		"kinds": obj{"order_shipped": obj{"sms": true}},
	}).want(http.StatusOK)

	ctx, cancel := context.WithTimeout(t.Context(), waittest.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/me/notifications:stream", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+ana.token)
	stream, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = stream.Body.Close() }()
	require.Equal(t, http.StatusOK, stream.StatusCode)

	ana.add(v, 1).want(http.StatusOK)
	order := ana.checkout("tok_ok").order()
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	require.Contains(t, lines.Text(), "Seu pedido "+order.Number+" foi confirmado")
	var inbox inboxJSON
	ana.get("/v1/me/notifications").want(http.StatusOK).into(&inbox)
	require.Len(t, inbox.Notifications, 1)
	require.Equal(t, 1, inbox.UnreadCount)
	require.Equal(t, "/v1/orders/"+order.ID, inbox.Notifications[0].Link)
	ana.post("/v1/me/notifications:readAll", obj{}).want(http.StatusOK)
	ana.get("/v1/me/notifications?unread=true").want(http.StatusOK).into(&inbox)
	require.Zero(t, inbox.UnreadCount)

	ship := func() {
		seller.post("/v1/shop-orders/"+order.ShopOrders[0].ID+":ship", obj{"carrier": "Correios"}).want(http.StatusOK)
	}
	ship()
	var mails struct {
		Messages []struct {
			Subject string
			Headers map[string][]string
		}
	}
	waittest.Until(t, func() bool {
		ana.get("/dev/mail?to=" + to).want(http.StatusOK).into(&mails)
		return len(mails.Messages) == 2
	}, "the mails do not arrive")
	for path, title := range map[string]string{
		"/dev/sms?to=%2B5511912345678": "Seu pedido " + order.Number + " está a caminho",
		"/dev/push?to=" + device.ID:    "Seu pedido " + order.Number + " está a caminho",
	} {
		waittest.Until(t, func() bool {
			var sent struct{ Messages []struct{ Title string } }
			ana.get(path).want(http.StatusOK).into(&sent)
			return len(sent.Messages) > 0 && sent.Messages[0].Title == title || len(sent.Messages) > 1
		}, "%s shows nothing", path)
	}
	link := regexp.MustCompile(`<(.*)>`)
	var ends string
	for _, m := range mails.Messages {
		if h := m.Headers["List-Unsubscribe"]; len(h) > 0 {
			require.Equal(t, "Seu pedido "+order.Number+" está a caminho", m.Subject)
			ends = strings.TrimPrefix(link.FindStringSubmatch(h[0])[1], s.url)
		}
	}
	s.anonymous().send(http.MethodPost, ends, nil).want(http.StatusOK)
	var preferences struct {
		Kinds map[string]struct{ Email, Sms bool }
	}
	ana.get("/v1/me/notification-preferences").want(http.StatusOK).into(&preferences)
	require.False(t, preferences.Kinds["order_shipped"].Email)
	require.True(t, preferences.Kinds["order_shipped"].Sms)

	ana.add(v, 2).want(http.StatusOK)
	s.user(email("notifier"), "operator").send(http.MethodPut, "/v1/operator/settings/cart.abandoned_after",
		obj{"value": "1s", "expectedVersion": 0}).want(http.StatusOK)
	waittest.Until(t, func() bool {
		ana.get("/dev/mail?to=" + to).want(http.StatusOK).into(&mails)
		return len(mails.Messages) == 3
	}, "no mail about the abandoned cart arrives")
	require.Equal(t, "Seu carrinho continua aqui", mails.Messages[0].Subject)
	require.NotEmpty(t, mails.Messages[0].Headers["List-Unsubscribe-Post"])
	s.verify()
}

// TestNoticeSurvivesTheDeathOfItsProcess ends the process after a provider took a delivery, and before that is
// recorded.
func TestNoticeSurvivesTheDeathOfItsProcess(t *testing.T) {
	t.Parallel()
	const rescue = 2 * time.Minute // River looks for jobs of dead processes every half minute
	s := start(t, "inprocess", []string{"SOUK_FAILPOINTS=", "SOUK_NOTIFICATION_TIMEOUT=1s"})
	shop := handle("dies")
	v := s.seller(shop).sell(shop, "Tea", "10.00", 50).Variants[0].ID
	ana := s.user(email("dies"), "customer")
	s.setFailpoints("souk", "notification.after_send=exit")
	ana.add(v, 1).want(http.StatusOK)
	ana.checkout("tok_ok").order()
	waittest.Receive(t, s.exited)
	s.launch()
	ana = &client{s: s, token: ana.token}
	operator := s.user(email("dies-operator"), "operator")
	require.Eventually(t, func() bool {
		var log struct {
			Deliveries []struct{ Kind, Status string }
		}
		operator.get("/v1/operator/deliveries").want(http.StatusOK).into(&log)
		for _, d := range log.Deliveries {
			if d.Status != "sent" {
				return false
			}
		}
		return len(log.Deliveries) >= 4 // the customer's and the seller's
	}, rescue, 500*time.Millisecond)
	var inbox inboxJSON
	ana.get("/v1/me/notifications").want(http.StatusOK).into(&inbox)
	require.Len(t, inbox.Notifications, 1)
	s.verify()
}
