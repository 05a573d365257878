package service

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"souk/apps/webhook/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/failpoint"
	"souk/pkg/httpclient"
)

// FailAfterPost is the failpoint after a message was sent, before that is recorded.
const FailAfterPost = "webhook.after_post"

// maxAnswer is how much of an answer's body is read, so that its connection can be used again. It is not kept.
const maxAnswer = 1 << 10

// Deliver makes an attempt at a round of a delivery. It returns when to call it again; 0: the round has ended. A
// process that dies after the attempt makes it again, with the same webhook-id.
//
// Errors: unavailable, internal.
func (s *Service) Deliver(ctx context.Context, deliveryID string, round int) (again time.Duration, err error) {
	a, found, err := s.Store.Next(ctx, deliveryID, round, s.Clock.Now())
	if err != nil || !found {
		return 0, err
	}
	if a.Status != domain.Active {
		o := domain.Outcome{At: s.Clock.Now(), Failure: domain.FailureDisabled, Skipped: true}
		return 0, s.Store.Finish(ctx, a, o, nil)
	}
	leave, wait := s.lines.enter(s.Clock.Now(), a.WebhookID, a.ShopID)
	if wait > 0 {
		return wait, nil
	}
	began := s.Clock.Now()
	o, err := s.post(ctx, a)
	leave(s.Clock.Now().Sub(began))
	if err != nil {
		return 0, err
	}
	if err := failpoint.Hit(ctx, FailAfterPost); err != nil {
		return 0, err
	}
	if o.Failure == "" || o.Gone() {
		return 0, s.Store.Finish(ctx, a, o, nil)
	}
	delay, more := domain.Delay(a.Event, a.RoundAttempts+1)
	if !more {
		return 0, s.Store.Finish(ctx, a, o, nil)
	}
	delay += rand.N(delay / 10) //nolint:gosec // spreads retries
	next := o.At.Add(delay)
	return delay, s.Store.Finish(ctx, a, o, &next)
}

// post sends a message once.
//
// Errors: internal (it cannot be made), unavailable (the process stops).
func (s *Service) post(ctx context.Context, a domain.Attempt) (domain.Outcome, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, strings.NewReader(a.Body))
	if err != nil {
		return domain.Outcome{}, errs.Wrap(err, errs.Internal, "the request to webhook %s cannot be made", a.WebhookID)
	}
	now := s.Clock.Now()
	signature, err := sign(a, now)
	if err != nil {
		return domain.Outcome{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "souk-webhooks/1")
	r.Header.Set(standardwebhooks.HeaderWebhookID, a.EventID)
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)

	res, err := s.HTTP.Do(r)
	o := domain.Outcome{At: s.Clock.Now()}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return o, errs.New(errs.Unavailable, "the attempt at delivery %s was interrupted", a.DeliveryID)
	case errors.Is(err, httpclient.ErrAddressRefused):
		o.Failure = domain.FailureAddress
		return o, nil
	case errs.Is(err, errs.Timeout):
		o.Failure = domain.FailureTimeout
		return o, nil
	default:
		o.Failure = domain.FailureAway
		return o, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // the status is the answer, whatever follows it
	_ = res.Body.Close()
	o.ResponseStatus = int32(res.StatusCode) //nolint:gosec // three digits
	if res.StatusCode < 200 || res.StatusCode > 299 {
		o.Failure = domain.FailureStatus
	}
	return o, nil
}

// sign returns the signatures of a message by all valid secrets, as Standard Webhooks defines them.
func sign(a domain.Attempt, at time.Time) (string, error) {
	signatures := make([]string, len(a.Secrets))
	for i, secret := range a.Secrets {
		w, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			signatures[i], err = w.Sign(a.EventID, at, []byte(a.Body))
		}
		if err != nil { // not as the cause: it may quote the secret
			return "", errs.New(errs.Internal, "a secret of webhook %s cannot sign", a.WebhookID)
		}
	}
	return strings.Join(signatures, " "), nil
}
