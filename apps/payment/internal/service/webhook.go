package service

import (
	"context"
	"crypto/sha256"
	"time"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// ReceiveWebhook takes the signed notices of a provider's webhook in and settles the payments by them, once for each
// of the provider's events: whether the notice comes before the answer to the call that it is about, after it,
// or at the same time, the payment ends the same. It reports whether all of them were known already.
//
// Its errors: not_found (no such provider, no such payment), unauthenticated (the signature is wrong or
// too old), invalid_argument (the body), unavailable.
func (s *Service) ReceiveWebhook(ctx context.Context, provider string, body []byte, signature string) (duplicate bool, err error) {
	if provider != s.ProviderName {
		return false, errs.New(errs.NotFound, "there is no such payment provider")
	}
	notices, err := s.Provider.ReadWebhook(body, signature)
	if err != nil {
		return false, err
	}
	paymentIDs := make([]string, len(notices))
	for i, n := range notices {
		paymentIDs[i] = n.PaymentID
	}
	payments, err := s.Store.ByIDs(ctx, paymentIDs)
	if err != nil {
		return false, err
	}
	hash, at := sha256.Sum256(body), s.Clock.Now()
	// What the answer to our own call told already is only remembered, all of it at once: a state that a payment
	// has behind it, or never gets to, it does not get to later either.
	var old []domain.Webhook
	duplicate = true
	for _, n := range notices {
		w := domain.Webhook{Provider: provider, EventID: n.EventID, PaymentID: n.PaymentID, RefundID: n.RefundID, BodyHash: hash[:], At: at}
		if p, known := payments[n.PaymentID]; known && n.RefundID == "" && !p.Status.CanBecome(n.Charge.Status()) {
			old = append(old, w)
			continue
		}
		seen, err := s.takeWebhook(ctx, w, n.Charge)
		if err != nil {
			return false, err
		}
		duplicate = duplicate && seen
	}
	if len(old) == 0 {
		return duplicate, nil
	}
	fresh, err := s.Store.NoteWebhooks(ctx, old)
	return duplicate && fresh == 0, err
}

// keepWebhooks is for how long the notices of providers are remembered. Providers try again for some days, Stripe for
// three; a notice that came again after that would be noted anew, and would change nothing: its payment and its refund
// have the state that it tells of behind them.
const keepWebhooks = 30 * 24 * time.Hour

// ForgetWebhooks deletes notices that no provider sends again, at most so many, and returns how many. Its error is that
// of the store.
func (s *Service) ForgetWebhooks(ctx context.Context, most int) (int, error) {
	return s.Store.ForgetWebhooks(ctx, s.Clock.Now().Add(-keepWebhooks), most)
}

// takeWebhook settles a payment by what was noticed of its charge.
func (s *Service) takeWebhook(ctx context.Context, w domain.Webhook, charge domain.Charge) (duplicate bool, err error) {
	duplicate, err = s.Store.TakeWebhook(ctx, w, func(p domain.Payment) (*domain.Settlement, event.Event, error) {
		if !p.Status.CanBecome(charge.Status()) {
			return nil, event.Event{}, nil
		}
		settlement, told, err := s.settlement(ctx, p, charge)
		return &settlement, told, err
	}, tellRefund(ctx))
	return duplicate, missing(err)
}
