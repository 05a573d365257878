package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/SherClockHolmes/webpush-go"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"souk/apps/notification/internal/domain"
	"souk/pkg/httpclient"
	"souk/pkg/secrets"
)

// Webhook sends messages as JSON to a URL, which passes them on. The header Idempotency-Key has the delivery's ID, so
// that a message that comes twice can be recognized.
type Webhook struct {
	URL    secrets.Value
	Client *http.Client
}

// Send sends a message.
//
// Errors: *domain.Failure.
func (w *Webhook) Send(ctx context.Context, m domain.Message) error {
	body, err := json.Marshal(map[string]string{
		"id": m.ID, "channel": string(m.Channel), "kind": string(m.Kind), "to": m.To, "device": m.Device.ID,
		"title": m.Subject, "body": m.Body, "link": m.Link,
	})
	if err != nil {
		return domain.Permanent("webhook: the message cannot be written")
	}
	return post(ctx, w.Client, "webhook", w.URL.Get(), bytes.NewReader(body), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", m.ID)
	})
}

// Twilio sends SMS. Its API knows no idempotency keys: an SMS whose answer is lost is sent again.
type Twilio struct {
	// URL is that of the API.
	URL string
	// AccountSID and AuthToken authenticate.
	AccountSID string
	AuthToken  secrets.Value
	// From is the sender's number.
	From   string
	Client *http.Client
}

// Send sends an SMS.
//
// Errors: *domain.Failure.
func (t *Twilio) Send(ctx context.Context, m domain.Message) error {
	form := url.Values{"To": {m.To}, "From": {t.From}, "Body": {m.Subject + "\n" + m.Body}}
	target := t.URL + "/2010-04-01/Accounts/" + url.PathEscape(t.AccountSID) + "/Messages.json"
	return post(ctx, t.Client, "twilio", target, strings.NewReader(form.Encode()), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(t.AccountSID, t.AuthToken.Get())
	})
}

// Push sends push messages to browsers (web push, signed by VAPID) and to apps (FCM).
type Push struct {
	// VAPIDPublic and VAPIDPrivate are the keys for browsers, and Subject is who sends, as a mailto: or https: address.
	VAPIDPublic  string
	VAPIDPrivate secrets.Value
	Subject      string
	// Browsers is the client for browsers' push services, whose addresses come from users: it needs
	// a guard, such as [httpclient.PublicOnly].
	Browsers *http.Client
	// FCM returns the FCM with the key of now. It is nil if apps get none.
	FCM func() *FCM
}

// Send sends a push message.
//
// Errors: *domain.Failure.
func (p *Push) Send(ctx context.Context, m domain.Message) error {
	switch {
	case m.Device.Kind == domain.FCM && p.FCM != nil:
		return p.FCM().send(ctx, m)
	case m.Device.Kind != domain.WebPush || !p.VAPIDPrivate.IsSet():
		return domain.Skip("devices of this kind are not served")
	}
	payload, err := json.Marshal(map[string]string{
		"id": m.ID, "kind": string(m.Kind), "title": m.Subject, "body": m.Body, "link": m.Link,
	})
	if err != nil {
		return domain.Permanent("webpush: the message cannot be written")
	}
	const dayInSeconds = 24 * 60 * 60
	res, err := webpush.SendNotificationWithContext(ctx, payload, &webpush.Subscription{
		Endpoint: m.Device.Token, Keys: webpush.Keys{P256dh: m.Device.P256dh, Auth: m.Device.Auth},
	}, &webpush.Options{
		HTTPClient: p.Browsers, Subscriber: strings.TrimPrefix(p.Subject, "mailto:"), TTL: dayInSeconds,
		VAPIDPublicKey: p.VAPIDPublic, VAPIDPrivateKey: p.VAPIDPrivate.Get(),
	})
	if errors.Is(err, httpclient.ErrAddressRefused) {
		return domain.Gone("webpush: the device's address is not public")
	}
	if err != nil {
		return domain.Temporary("webpush: the push service cannot be reached")
	}
	return outcome("webpush", res)
}

// FCM sends push messages to apps by Firebase Cloud Messaging, HTTP v1.
type FCM struct {
	// URL is that of the API, and Project the project.
	URL, Project string
	// Client signs in.
	Client *http.Client
}

// NewFCM returns an FCM that signs in with the JSON key of a service account.
func NewFCM(ctx context.Context, key []byte, client *http.Client) (*FCM, error) {
	var account struct {
		Project  string `json:"project_id"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURL string `json:"token_uri"`
	}
	if err := json.Unmarshal(key, &account); err != nil || account.Project == "" || account.Key == "" {
		return nil, errors.New("the key is not that of a service account")
	}
	cfg := &jwt.Config{
		Email: account.Email, PrivateKey: []byte(account.Key), PrivateKeyID: account.KeyID, TokenURL: account.TokenURL,
		Scopes: []string{"https://www.googleapis.com/auth/firebase.messaging"},
	}
	signed := cfg.Client(context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client))
	return &FCM{URL: "https://fcm.googleapis.com", Project: account.Project, Client: signed}, nil
}

func (f *FCM) send(ctx context.Context, m domain.Message) error {
	body, err := json.Marshal(map[string]any{"message": map[string]any{
		"token":        m.Device.Token,
		"notification": map[string]string{"title": m.Subject, "body": m.Body},
		"data":         map[string]string{"id": m.ID, "kind": string(m.Kind), "link": m.Link},
	}})
	if err != nil {
		return domain.Permanent("fcm: the message cannot be written")
	}
	target := f.URL + "/v1/projects/" + url.PathEscape(f.Project) + "/messages:send"
	return post(ctx, f.Client, "fcm", target, bytes.NewReader(body), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
	})
}

// post sends a request.
func post(
	ctx context.Context, client *http.Client, name, target string, body io.Reader, prepare func(*http.Request),
) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, body)
	if err != nil {
		return domain.Temporary(name + ": the address of the API is wrong")
	}
	prepare(r)
	res, err := client.Do(r)
	if err != nil {
		return domain.Temporary(name + ": the API cannot be reached")
	}
	return outcome(name, res)
}

// readMost is how much of an answer is read, so that its connection can be used again.
const readMost = 64 << 10

// outcome returns what an answer means. It holds the status but not the text, which may contain addresses.
func outcome(name string, res *http.Response) error {
	_, _ = io.CopyN(io.Discard, res.Body, readMost) // an error ends the connection, and nothing else
	_ = res.Body.Close()                            // as above
	status := res.StatusCode
	switch {
	case status < 300:
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		return domain.Gone(fmt.Sprintf("%s: refused with %d", name, status))
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests ||
		status == http.StatusRequestTimeout || status >= 500 || status < 400:
		return domain.Temporary(fmt.Sprintf("%s: failed with %d", name, status)) // the configuration, or an outage
	}
	return domain.Permanent(fmt.Sprintf("%s: refused with %d", name, status))
}
