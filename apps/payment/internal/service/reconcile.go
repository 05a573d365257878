package service

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
)

// reconcileBatch bounds how many payments one pass looks at.
const reconcileBatch = 100

// Reconcile asks the provider about payments and refunds whose end has been open for longer than
// openFor, and settles them: lost answers end here even if nobody comes back for them. A payment that the
// provider never heard of is voided there, and so given up, once it is older than giveUp.
//
// It returns how many it settled. One that fails is logged and comes again after those that wait for longer: a few that
// never succeed keep nobody from their turn. Its error is that of the store.
func (s *Service) Reconcile(ctx context.Context, openFor, giveUp time.Duration) (int, error) {
	now := s.Clock.Now()
	open, err := s.Store.AskOpen(ctx, now.Add(-openFor), now, reconcileBatch)
	if err != nil {
		return 0, err
	}
	settled := 0
	for _, p := range open {
		after, err := s.reconcile(ctx, p, now.Sub(p.CreatedAt) > giveUp)
		switch {
		case ctx.Err() != nil:
			return settled, ctx.Err()
		case err != nil:
			s.Logger.Warn("payment not reconciled", zap.String("payment_id", p.ID), zap.Error(err))
		case after.Status == p.Status: // an authorization that waits for its order; or one being asked for
		default:
			s.Logger.Info("payment reconciled", zap.String("payment_id", p.ID), zap.String("status", string(after.Status)))
			settled++
		}
	}
	refunds, err := s.Store.AskOpenRefunds(ctx, now.Add(-openFor), now, reconcileBatch)
	if err != nil {
		return settled, err
	}
	for _, r := range refunds {
		p, err := s.Store.ByID(ctx, r.PaymentID)
		if err == nil {
			_, err = s.finishRefund(ctx, p, r)
		}
		if err != nil && !errs.Is(err, errs.Unprocessable) {
			s.Logger.Warn("refund not reconciled", zap.String("refund_id", r.ID), zap.Error(err))
			continue
		}
		settled++
	}
	return settled, nil
}

func (s *Service) reconcile(ctx context.Context, p domain.Payment, old bool) (domain.Payment, error) {
	if p.VoidRequested {
		after, err := s.void(ctx, p)
		if errs.Is(err, errs.Conflict) {
			err = nil // it was captured: that is settled, too
		}
		return after, err
	}
	charge, err := s.ask(ctx, func(ctx context.Context) (domain.Charge, error) { return s.Provider.Status(ctx, p.ID) })
	switch {
	case errs.Is(err, errs.NotFound) && old:
		return s.void(ctx, p)
	case errs.Is(err, errs.NotFound):
		return p, nil
	case err != nil:
		return p, err
	}
	return s.settle(ctx, p, charge)
}
