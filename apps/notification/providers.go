package notification

import (
	"context"
	"fmt"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	"souk/pkg/httpclient"
	"souk/pkg/module"
	"souk/pkg/secrets"
)

// twilioURL is the address of Twilio's API.
const twilioURL = "https://api.twilio.com"

// providersOf returns the configured providers of text and push messages.
func providersOf(ctx context.Context, p *module.Platform, cfg Config) (map[domain.Channel]service.Provider, error) {
	out := map[domain.Channel]service.Provider{}
	client, err := p.HTTPClient("messages")
	if err != nil {
		return nil, err
	}
	switch sms := cfg.SMS; {
	case sms.TwilioAccount != "":
		out[domain.SMS] = &repository.Twilio{
			URL:        twilioURL,
			AccountSID: sms.TwilioAccount,
			AuthToken:  sms.TwilioToken,
			From:       sms.TwilioFrom,
			Client:     client,
		}
	case sms.WebhookURL.IsSet():
		out[domain.SMS] = &repository.Webhook{URL: sms.WebhookURL, Client: client}
	}
	switch push := cfg.Push; {
	case push.VAPIDPrivate.IsSet() || push.FCMKey.IsSet():
		browsers, err := httpclient.New("webpush", httpclient.Options{
			Guard: httpclient.PublicOnly, KeepRedirects: true, Metrics: p.Metrics(),
		})
		if err != nil {
			return nil, err
		}
		sender := &repository.Push{
			VAPIDPublic: push.VAPIDPublic, VAPIDPrivate: push.VAPIDPrivate, Subject: push.VAPIDSubject,
			Browsers: browsers,
		}
		if push.FCMKey.IsSet() {
			fcm, err := secrets.Derive(push.FCMKey, func(key string) (*repository.FCM, error) {
				return repository.NewFCM(ctx, []byte(key), client)
			})
			if err != nil {
				return nil, fmt.Errorf("push.fcm_key: %w", err)
			}
			sender.FCM = fcm.Get
		}
		out[domain.Push] = sender
	case push.WebhookURL.IsSet():
		out[domain.Push] = &repository.Webhook{URL: push.WebhookURL, Client: client}
	}
	return out, nil
}
