package service

import (
	"context"
	"crypto/sha256"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// ReceiveWebhook takes a provider's signed notice in and settles the payment by it, once for each of the
// provider's events: whether the notice comes before the answer to the call that it is about, after it,
// or at the same time, the payment ends the same.
//
// Its errors: not_found (no such provider, no such payment), unauthenticated (the signature is wrong or
// too old), invalid_argument (the body), unavailable.
func (s *Service) ReceiveWebhook(ctx context.Context, provider string, body []byte, signature string) (duplicate bool, err error) {
	if provider != s.ProviderName {
		return false, errs.New(errs.NotFound, "there is no such payment provider")
	}
	n, err := s.Provider.ReadWebhook(body, signature)
	if err != nil {
		return false, err
	}
	hash := sha256.Sum256(body)
	w := domain.Webhook{
		Provider: provider, EventID: n.EventID, PaymentID: n.PaymentID, RefundID: n.RefundID, BodyHash: hash[:], At: s.Clock.Now(),
	}
	duplicate, err = s.Store.TakeWebhook(ctx, w, func(p domain.Payment) (*domain.Settlement, event.Event, error) {
		if !p.Status.CanBecome(n.Charge.Status()) {
			return nil, event.Event{}, nil
		}
		settlement, told, err := s.settlement(ctx, p, n.Charge)
		return &settlement, told, err
	}, tellRefund(ctx))
	return duplicate, missing(err)
}
