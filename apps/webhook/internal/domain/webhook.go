// Package domain has the rules of webhooks: their addresses and events, when a message is retried, and when a webhook
// is disabled. It does no I/O.
package domain

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
)

const (
	// MaxWebhooks is the most webhooks of a shop, or of the marketplace.
	MaxWebhooks = 20
	// MaxSecrets is the most secrets of a webhook that are valid at the same time.
	MaxSecrets = 5
	// KeepSecret is how long an earlier secret signs messages after a rotation.
	KeepSecret = 24 * time.Hour
	// MaxTests is the number of test messages that the log of a webhook keeps.
	MaxTests = 20
	// TestEvent is the type of test messages.
	TestEvent = "evt.webhook.test"
	// GivenUp is the number of messages in a row that are given up, after which a webhook is disabled …
	GivenUp = 5
	// FailingFor … if none was accepted for this time.
	FailingFor = 5 * 24 * time.Hour
)

// Status is the state of a webhook or of a delivery.
type Status string

// A webhook is active or disabled; a delivery is queued, delivered or failed.
const (
	Active    Status = "active"
	Disabled  Status = "disabled"
	Queued    Status = "queued"
	Delivered Status = "delivered"
	Failed    Status = "failed"
)

// Reasons for which a webhook is disabled.
const (
	ReasonManual  = "manual"
	ReasonGone    = "gone"
	ReasonFailing = "failing"
)

// Reasons for which an attempt failed.
const (
	FailureStatus   = "status"
	FailureTimeout  = "timeout"
	FailureAway     = "unreachable"
	FailureAddress  = "address_refused"
	FailureDisabled = "webhook_disabled"
)

// Webhook is an address that gets events.
type Webhook struct {
	ID string
	// ShopID is "" for a webhook of the marketplace.
	ShopID               string
	URL                  string
	Events               []string
	Status               Status
	DisabledReason       string
	CreatedAt, UpdatedAt time.Time
}

// Change is a change of a webhook; what is nil or empty stays as it is.
type Change struct {
	URL    *string
	Events []string
	Status *Status
}

// Apply changes w and reports whether that made a difference. Known are the events that it may get; allowLocal allows
// addresses of this machine, also with http.
//
// Errors: invalid_argument.
func (w *Webhook) Apply(c Change, known []string, allowLocal bool, at time.Time) (changed bool, err error) {
	was := *w
	if c.URL != nil {
		if err := checkURL(*c.URL, allowLocal); err != nil {
			return false, err
		}
		w.URL = *c.URL
	}
	if len(c.Events) > 0 {
		if err := checkEvents(c.Events, known); err != nil {
			return false, err
		}
		w.Events = c.Events
	}
	if c.Status != nil && *c.Status != w.Status {
		w.Status, w.DisabledReason = *c.Status, ""
		if w.Status == Disabled {
			w.DisabledReason = ReasonManual
		}
	}
	if was.URL == w.URL && slices.Equal(was.Events, w.Events) && was.Status == w.Status {
		return false, nil
	}
	w.UpdatedAt = at
	return true, nil
}

// New returns an active webhook of a shop, or of the marketplace if shopID is "".
//
// Errors: invalid_argument.
func New(shopID string, c Change, known []string, allowLocal bool, at time.Time) (Webhook, error) {
	w := Webhook{ID: id.New(id.Webhook), ShopID: shopID, Status: Active, CreatedAt: at}
	_, err := w.Apply(c, known, allowLocal, at)
	return w, err
}

func checkURL(text string, allowLocal bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return errs.InvalidField("url", "must be a complete address such as https://erp.example/souk")
	case u.Scheme != "https" && !(u.Scheme == "http" && allowLocal):
		return errs.InvalidField("url", "must begin with https://")
	case u.User != nil:
		return errs.InvalidField("url", "must not hold a user name or password")
	case u.Fragment != "":
		return errs.InvalidField("url", "must not have a fragment (#…)")
	}
	return nil
}

// checkEvents checks types of events: "*", "evt.{domain}.*" or one of those known.
func checkEvents(events, known []string) error {
	for _, e := range events {
		prefix, all := strings.CutSuffix(e, "*")
		matches := func(k string) bool {
			return k == e || all && strings.HasSuffix(prefix, ".") && strings.HasPrefix(k, prefix)
		}
		if e != "*" && (prefix == "evt." || !slices.ContainsFunc(known, matches)) {
			return errs.InvalidField("events", "%q is no event that this webhook can get: they are *, %s",
				e, strings.Join(known, ", "))
		}
	}
	return nil
}

// Message is what an event says to the webhooks of a shop, or of the marketplace if ShopID is "".
type Message struct {
	EventID, Event, ShopID, Body string
	At                           time.Time
}

// Body returns the body of a message, in the form that Standard Webhooks recommends.
func Body(event, at string, data []byte) string {
	b, _ := json.Marshal(struct { // cannot fail: data is JSON
		Type      string          `json:"type"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{event, at, data})
	return string(b)
}

// Delivery is an event that is sent to a webhook.
type Delivery struct {
	ID, WebhookID, EventID, Event string
	Status                        Status
	Attempts, ResponseStatus      int32
	Failure                       string
	CreatedAt                     time.Time
	LastAttemptAt, NextAttemptAt  *time.Time
}

// delays are the times between the attempts at a message: about three days.
var delays = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
	20 * time.Hour, 20 * time.Hour,
}

// Delay returns the time between an attempt that failed, counted from 1, and the next one. The message is given up if
// more is false. A test message has one attempt.
func Delay(event string, attempt int32) (d time.Duration, more bool) {
	if event == TestEvent || int(attempt) > len(delays) {
		return 0, false
	}
	return delays[attempt-1], true
}

// Outcome is what came of an attempt.
type Outcome struct {
	At time.Time
	// ResponseStatus is 0 without an answer.
	ResponseStatus int32
	// Failure is "" if the message was accepted.
	Failure string
	// Skipped is set if nothing was sent, because the webhook is disabled.
	Skipped bool
}

// Gone reports whether the receiver wants no more messages.
func (o Outcome) Gone() bool { return o.ResponseStatus == 410 }

// Attempt is what an attempt at a delivery needs.
type Attempt struct {
	DeliveryID string
	Round      int
	// RoundAttempts is the number of attempts of the round so far.
	RoundAttempts          int32
	EventID, Event, Body   string
	WebhookID, ShopID, URL string
	Status                 Status // of the webhook
	Secrets                []string
}
