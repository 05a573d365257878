package tests

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
	"souk/pkg/httpclient"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/secrets"
	"souk/pkg/waittest"
)

// hook is a server that keeps the requests that it gets.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	bodies []string
	last   *http.Request
}

func newHook(t *testing.T, start func(http.Handler) *httptest.Server) *hook {
	t.Helper()
	h := &hook{status: http.StatusCreated}
	h.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil {
			h.bodies, h.last = append(h.bodies, string(body)), r
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.bodies...)
}

func TestShortMessagesGoToPhonesAndDevices(t *testing.T) {
	t.Parallel()
	sms, push := newHook(t, httptest.NewServer), newHook(t, httptest.NewServer)
	h := setup(t, moduletest.Config(map[string]any{
		"sms": map[string]any{"webhook_url": sms.URL}, "push": map[string]any{"webhook_url": push.URL},
	}))
	order := h.place("zoe@example.com", "")
	zoe := h.customer(order)
	h.others.users[zoe].Phone = "+55 11 91234-5678"
	register := func(kind, token string) (*notificationv1.Device, error) {
		req := &notificationv1.RegisterDeviceRequest{Kind: kind, Token: token}
		if kind == "webpush" {
			req.Keys = &notificationv1.WebPushKeys{P256Dh: "x", Auth: "y"}
		}
		res, err := h.gateway().RegisterDevice(h.AsUser(zoe), req)
		return res.GetDevice(), err
	}
	_, err := register("webpush", "http://push.example/1")
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	for _, host := range []string{
		"127.0.0.1", "10.1.2.3", "192.168.1.1:8443", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "localhost",
		"LOCALHOST.", "x.localhost", "2130706433", "127.1", "0x7f.0.0.0x1", "db.internal", "printer.local", "postgres", "",
	} {
		_, err := register("webpush", "https://"+host+"/1")
		require.Equal(t, errs.Invalid, errs.CodeOf(err), host)
	}
	browser, err := register("webpush", "https://updates.push.example.com/wpush/v2/1")
	require.NoError(t, err)
	_, err = h.gateway().DeleteDevice(h.AsUser(zoe), &notificationv1.DeleteDeviceRequest{Id: browser.GetId()})
	require.NoError(t, err)
	app, err := register("fcm", "token-1")
	require.NoError(t, err)
	again, err := register("fcm", "token-1")
	require.NoError(t, err)
	require.Equal(t, app.GetId(), again.GetId(), "a device keeps its ID")

	// Push is on, and text messages are off by default.
	h.Deliver("order", h.confirmed(order))
	waittest.Until(t, func() bool { return len(push.got()) == 1 }, "nothing is pushed")
	var m map[string]string
	require.NoError(t, json.Unmarshal([]byte(push.got()[0]), &m))
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", m["title"])
	require.Equal(t, app.GetId(), m["device"])
	require.Equal(t, "/v1/orders/"+order, m["link"])
	require.Equal(t, m["id"], push.last.Header.Get("Idempotency-Key"))
	require.NotContains(t, push.got()[0], "token-1")

	yes, no := true, false
	_, err = h.gateway().SetNotificationPreferences(h.AsUser(zoe), &notificationv1.SetNotificationPreferencesRequest{
		Kinds: map[string]*notificationv1.ChannelChoices{"order_shipped": {Sms: &yes, Push: &no}},
	})
	require.NoError(t, err)
	h.shipped(order)
	waittest.Until(t, func() bool { return len(sms.got()) == 1 }, "no text message is sent")
	require.Contains(t, sms.got()[0], `"to":"+5511912345678"`)
	require.Len(t, push.got(), 1)

	// The push service does not know the device any more.
	push.answer(http.StatusGone)
	h.Deliver("order", h.cancelled(order))
	list := func() int {
		res, err := h.gateway().ListDevices(h.AsUser(zoe), &notificationv1.ListDevicesRequest{})
		require.NoError(t, err)
		return len(res.GetDevices())
	}
	waittest.Until(t, func() bool { return list() == 0 }, "the device stays")
	const failed = `select count(*) from delivery where channel = 'push' and state = 'failed'`
	waittest.Until(t, func() bool { return moduletest.Value[int](h.Service, failed) == 1 }, "it is retried")

	for range 12 {
		_, err := register("fcm", id.New(id.Event))
		require.NoError(t, err)
	}
	require.Equal(t, 10, list())
	newest, err := register("fcm", "token-2")
	require.NoError(t, err)
	_, err = h.gateway().
		DeleteDevice(h.AsUser(id.New(id.User)), &notificationv1.DeleteDeviceRequest{Id: newest.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another user's device")
	_, err = h.gateway().DeleteDevice(h.AsUser(zoe), &notificationv1.DeleteDeviceRequest{Id: newest.GetId()})
	require.NoError(t, err)
	require.Equal(t, 9, list())
	h.Stop()
	require.NotContains(t, h.Logs(), "91234")
	require.NotContains(t, h.Logs(), "token-")
}

func TestTwilioGetsTextMessages(t *testing.T) {
	t.Parallel()
	api := newHook(t, httptest.NewServer)
	sender := &repository.Twilio{
		URL: api.URL, AccountSID: "AC1", AuthToken: secrets.Plain("secret"), From: "+15550100", Client: api.Client(),
	}
	m := domain.Message{ID: "dlv_1", To: "+5511912345678", Subject: "Title", Body: "Body"}
	require.NoError(t, sender.Send(t.Context(), m))
	require.Equal(t, "Body=Title%0ABody&From=%2B15550100&To=%2B5511912345678", api.got()[0])
	require.Equal(t, "/2010-04-01/Accounts/AC1/Messages.json", api.last.URL.Path)
	user, password, _ := api.last.BasicAuth()
	require.Equal(t, []string{"AC1", "secret"}, []string{user, password})
	for status, permanent := range map[int]bool{400: true, 401: false, 429: false, 503: false} {
		api.answer(status)
		f := domain.FailureOf(sender.Send(t.Context(), m), "")
		require.Equal(t, permanent, f.Permanent, status)
		require.NotContains(t, f.Reason, "55")
	}
}

func TestBrowsersAndAppsGetPushMessages(t *testing.T) {
	t.Parallel()
	private, public, err := webpush.GenerateVAPIDKeys()
	require.NoError(t, err)
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	api := newHook(t, httptest.NewTLSServer)
	sender := &repository.Push{
		VAPIDPublic:  public,
		VAPIDPrivate: secrets.Plain(private),
		Subject:      "mailto:shop@souk.example",
		Browsers:     api.Client(),
		FCM: func() *repository.FCM {
			return &repository.FCM{URL: api.URL, Project: "souk", Client: api.Client()}
		},
	}
	message := func(d domain.Device) domain.Message {
		return domain.Message{ID: "dlv_1", Subject: "Title", Body: "Body", Link: "/v1/orders/1", Device: d}
	}
	web := message(domain.Device{
		Kind: domain.WebPush, Token: api.URL + "/sub", Auth: base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
		P256dh: base64.RawURLEncoding.EncodeToString(browser.PublicKey().Bytes()),
	})
	require.NoError(t, sender.Send(t.Context(), web))
	require.Equal(t, "aes128gcm", api.last.Header.Get("Content-Encoding"))
	require.Contains(t, api.last.Header.Get("Authorization"), "vapid t=")
	require.NotContains(t, api.got()[0], "Title", "it is encrypted")
	app := message(domain.Device{Kind: domain.FCM, Token: "token-1"})
	require.NoError(t, sender.Send(t.Context(), app))
	require.Equal(t, "/v1/projects/souk/messages:send", api.last.URL.Path)
	require.JSONEq(t, `{"message": {"token": "token-1", "notification": {"title": "Title", "body": "Body"},
		"data": {"id": "dlv_1", "kind": "", "link": "/v1/orders/1"}}}`, api.got()[1])
	for status, want := range map[int]domain.Failure{
		404: {Permanent: true, Gone: true}, 410: {Permanent: true, Gone: true}, 400: {Permanent: true}, 429: {}, 500: {},
	} {
		api.answer(status)
		for _, m := range []domain.Message{web, app} {
			got := domain.FailureOf(sender.Send(t.Context(), m), "")
			got.Reason = ""
			require.Equal(t, want, got, status)
		}
	}

	// Users name the push services of their browsers. They must not lead into our network.
	sender.Browsers, err = httpclient.New("webpush", httpclient.Options{Guard: httpclient.PublicOnly})
	require.NoError(t, err)
	before := len(api.got())
	require.True(t, domain.FailureOf(sender.Send(t.Context(), web), "").Gone)
	require.Len(t, api.got(), before)
}
