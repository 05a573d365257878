package service

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
)

// reconcileBatch is the largest number of payments in one pass.
const reconcileBatch = 100

// Reconcile asks the provider about payments and refunds whose outcome has been open for longer than openFor,
// and applies the answers. So a lost answer is applied even if the caller does not retry. A payment that is
// unknown to the provider is voided there, and so given up, once it is older than giveUp.
//
// Reconcile returns how many outcomes it applied. A failure is logged, and that payment goes to the end of
// the queue: a few payments that always fail do not block the others.
//
// Errors: those of the store.
func (s *Service) Reconcile(ctx context.Context, openFor, giveUp time.Duration) (int, error) {
	now := s.Clock.Now()
	open, err := s.Store.AskOpen(ctx, now.Add(-openFor), now, reconcileBatch)
	if err != nil {
		return 0, err
	}
	applied := 0
	for _, p := range open {
		after, err := s.reconcile(ctx, p, now.Sub(p.CreatedAt) > giveUp)
		switch {
		case ctx.Err() != nil:
			return applied, ctx.Err()
		case err != nil:
			s.Logger.Warn("payment not reconciled", zap.String("payment_id", p.ID), zap.Error(err))
		case after.Status == p.Status: // an authorization that waits for its order, or one in flight
		default:
			s.Logger.Info("payment reconciled", zap.String("payment_id", p.ID),
				zap.String("status", string(after.Status)))
			applied++
		}
	}
	refunds, err := s.Store.AskOpenRefunds(ctx, now.Add(-openFor), now, reconcileBatch)
	if err != nil {
		return applied, err
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
		applied++
	}
	return applied, nil
}

func (s *Service) reconcile(ctx context.Context, p domain.Payment, old bool) (domain.Payment, error) {
	if p.VoidRequested {
		after, err := s.void(ctx, p)
		if errs.Is(err, errs.Conflict) {
			err = nil // it was captured: its outcome is known
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
	return s.apply(ctx, p, charge)
}
