package service

import (
	"context"
	"crypto/sha256"
	"time"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// ReceiveWebhook reads the signed notices of a provider's webhook and applies them to their payments, once
// per provider's event. A notice may come before, after or at the same time as the answer to its call: the
// payment ends the same. ReceiveWebhook reports whether all notices were known already.
//
// Errors: not_found (no such provider or payment), unauthenticated (the signature is wrong or too old),
// invalid_argument (the body), unavailable.
func (s *Service) ReceiveWebhook(
	ctx context.Context, provider string, body []byte, signature string,
) (duplicate bool, err error) {
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
	// Most notices repeat the answer to our own call. They are only recorded, in one statement: a payment
	// that cannot take a notice's state now cannot take it later either.
	var old []domain.Webhook
	duplicate = true
	for _, n := range notices {
		w := domain.Webhook{
			Provider:  provider,
			EventID:   n.EventID,
			PaymentID: n.PaymentID,
			RefundID:  n.RefundID,
			BodyHash:  hash[:],
			At:        at,
		}
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

// keepWebhooks is how long notices are kept. Providers retry for some days, Stripe for three. A notice that
// arrived again after its row was deleted would be recorded again and change nothing: its payment and refund
// are past the state that it reports.
const keepWebhooks = 30 * 24 * time.Hour

// ForgetWebhooks deletes notices that no provider sends again, at most limit, and returns how many.
//
// Errors: those of the store.
func (s *Service) ForgetWebhooks(ctx context.Context, limit int) (int, error) {
	return s.Store.ForgetWebhooks(ctx, s.Clock.Now().Add(-keepWebhooks), limit)
}

// takeWebhook records a notice and applies its charge to the payment.
func (s *Service) takeWebhook(ctx context.Context, w domain.Webhook, charge domain.Charge) (duplicate bool, err error) {
	duplicate, err = s.Store.TakeWebhook(ctx, w, func(p domain.Payment) (*domain.Transition, event.Event, error) {
		if !p.Status.CanBecome(charge.Status()) {
			return nil, event.Event{}, nil
		}
		transition, ev, err := s.transition(ctx, p, charge)
		return &transition, ev, err
	}, newRefundEvent(ctx))
	return duplicate, missing(err)
}
