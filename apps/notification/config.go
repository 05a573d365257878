package notification

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"time"

	"souk/apps/notification/internal/repository"
	"souk/pkg/secrets"
	"souk/pkg/setting"
)

// Config is the notification service's configuration, section "notification". Hold and MaxPerHour are the defaults of
// system settings.
type Config struct {
	// SMTPAddr is the mail server, host:port. Required.
	SMTPAddr string `yaml:"smtp_addr"`
	// TLS is the encryption of the connection: auto (default: STARTTLS; a server on this machine may do
	// without), starttls (required), tls (from the first byte) or none.
	TLS string `yaml:"tls"`
	// Username and Password authenticate; both empty (default): no authentication. They are never sent
	// unencrypted, except to this machine.
	Username secrets.Value `yaml:"username"`
	Password secrets.Value `yaml:"password"`
	// From is the sender, e.g. "souk <no-reply@example.com>". Default "souk <no-reply@souk.localhost>".
	From string `yaml:"from"`
	// PublicURL is where customers reach souk; mails link to orders there. Default empty: no links.
	PublicURL string `yaml:"public_url"`
	// Timeout bounds each step of an attempt: to write a mail, to wait for one of Concurrency connections, and to send
	// it. Default 15 s; from 1 s to 45 s.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is the number of mails sent at the same time. Default 4; from 1 to 64.
	Concurrency int `yaml:"concurrency"`
	// GiveUp is how long a mail is retried. Default 72 h; at least 1 min.
	GiveUp time.Duration `yaml:"give_up"`
	// Hold is how long a confirmation, an invitation or a list for a shop waits. What its customer or sender cancels
	// within that time is not mailed. Default 10 s; from 0 to 1 h.
	Hold time.Duration `yaml:"hold"`
	// MaxPerHour is the most mails that a recipient gets in an hour; others wait. Addresses that were only typed in
	// count separately from the verified ones of accounts. Default 10; from 1 to 1000000.
	MaxPerHour int `yaml:"max_per_hour"`
	// SMS sends text messages. Default: none are sent.
	SMS SMSConfig `yaml:"sms"`
	// Push sends push messages. Default: none are sent.
	Push PushConfig `yaml:"push"`
}

// SMSConfig says who sends text messages: Twilio, or a webhook. Both empty: SMS are off.
type SMSConfig struct {
	// WebhookURL gets each message as JSON.
	WebhookURL secrets.Value `yaml:"webhook_url"`
	// TwilioAccount and TwilioToken authenticate at Twilio, and TwilioFrom is the sender's number.
	TwilioAccount string        `yaml:"twilio_account"`
	TwilioToken   secrets.Value `yaml:"twilio_token"`
	TwilioFrom    string        `yaml:"twilio_from"`
}

// PushConfig says who sends push messages: the push services of browsers and FCM, or a webhook. All empty: push
// messages are off.
type PushConfig struct {
	// WebhookURL gets each message as JSON.
	WebhookURL secrets.Value `yaml:"webhook_url"`
	// VAPIDPublic and VAPIDPrivate are the keys for browsers, in base64url, and VAPIDSubject is an address of the
	// sender such as mailto:shop@example.com.
	VAPIDPublic  string        `yaml:"vapid_public"`
	VAPIDPrivate secrets.Value `yaml:"vapid_private"`
	VAPIDSubject string        `yaml:"vapid_subject"`
	// FCMKey is the JSON key of a service account that may send by FCM.
	FCMKey secrets.Value `yaml:"fcm_key"`
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		TLS:         repository.TLSAuto,
		From:        "souk <no-reply@souk.localhost>",
		Timeout:     15 * time.Second,
		Concurrency: 4,
		GiveUp:      72 * time.Hour,
		Hold:        10 * time.Second,
		MaxPerHour:  10,
	}
}

// Validate returns all problems of the configuration, joined.
func (c Config) Validate() error {
	var problems []error
	if _, _, err := net.SplitHostPort(c.SMTPAddr); err != nil {
		problems = append(problems, errors.New("smtp_addr: must be the mail server's host:port"))
	}
	if !slices.Contains(repository.TLSModes, c.TLS) {
		problems = append(problems, fmt.Errorf("tls: must be one of %v", repository.TLSModes))
	}
	if c.Username.IsSet() != c.Password.IsSet() {
		problems = append(problems, errors.New("username, password: both or none"))
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		problems = append(problems, errors.New("from: must be an address"))
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, errors.New("public_url: must be an http or https URL"))
		}
	}
	if c.Timeout < time.Second || c.Timeout > 45*time.Second {
		problems = append(problems, errors.New("timeout: must be from 1s to 45s"))
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		problems = append(problems, errors.New("concurrency: must be from 1 to 64"))
	}
	if c.GiveUp < time.Minute {
		problems = append(problems, errors.New("give_up: must be at least 1m"))
	}
	for name, given := range map[string]string{
		"sms.webhook_url": c.SMS.WebhookURL.Get(), "push.webhook_url": c.Push.WebhookURL.Get(),
	} {
		if u, err := url.Parse(given); given != "" && (err != nil || u.Host == "") {
			problems = append(problems, fmt.Errorf("%s: must be a URL", name))
		}
	}
	if t := c.SMS; t.TwilioAccount != "" && (!t.TwilioToken.IsSet() || t.TwilioFrom == "") {
		problems = append(problems, errors.New("sms.twilio_account: needs twilio_token and twilio_from"))
	}
	if v := c.Push; v.VAPIDPrivate.IsSet() && (v.VAPIDPublic == "" || v.VAPIDSubject == "") {
		problems = append(problems, errors.New("push.vapid_private: needs vapid_public and vapid_subject"))
	}
	return errors.Join(append(problems, c.settings().Check())...)
}

// settings returns the system settings that the configuration has. They apply until an operator sets others.
func (c Config) settings() setting.Values {
	v := setting.Values{}
	setting.NotificationHold.Put(v, c.Hold)
	setting.NotificationMaxPerHour.Put(v, int64(c.MaxPerHour))
	return v
}
