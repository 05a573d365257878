package service

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
)

// WriteAfter is how long an authorization waits to be written. The capture of a checkout mostly follows
// sooner and then is the only write.
const WriteAfter = 250 * time.Millisecond

// unwritten holds authorizations that the provider gave and that no row holds yet: the payment is pending
// there. A process that dies right after the provider's answer leaves the same state. Whatever meets such a
// payment (a second Authorize, Capture, Void, a webhook, the reconciler) asks the provider.
type unwritten struct {
	mu   sync.Mutex
	byID map[string]authorization
}

type authorization struct {
	payment domain.Payment
	charge  domain.Charge
	at      time.Time
}

func (u *unwritten) add(a authorization) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byID == nil {
		u.byID = make(map[string]authorization)
	}
	u.byID[a.payment.ID] = a
}

func (u *unwritten) remove(paymentID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, paymentID)
}

func (u *unwritten) has(paymentID string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.byID[paymentID]
	return ok
}

// due returns the authorizations given at the time at or before.
func (u *unwritten) due(at time.Time) []authorization {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []authorization
	for _, a := range u.byID {
		if !a.at.After(at) {
			out = append(out, a)
		}
	}
	return out
}

// WriteAuthorizations writes the authorizations that no capture or void has followed within [WriteAfter], and
// returns how many. One that cannot be written is logged and left to the reconciler.
func (s *Service) WriteAuthorizations(ctx context.Context) int {
	due := s.unwritten.due(s.Clock.Now().Add(-WriteAfter))
	var wg sync.WaitGroup
	for _, a := range due {
		wg.Go(func() { // concurrently, so that they share a transaction
			if _, err := s.apply(ctx, a.payment, a.charge); err != nil && ctx.Err() == nil {
				s.Logger.Warn("authorization not written yet", zap.String("payment_id", a.payment.ID), zap.Error(err))
			}
			s.unwritten.remove(a.payment.ID)
		})
	}
	wg.Wait()
	return len(due)
}
