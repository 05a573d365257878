package service

import (
	"context"

	"souk/apps/order/internal/domain"
	"souk/pkg/identity"
)

// admit checks the limits of a new order, and sets when it expires: an order with cash on delivery waits for its money.
//
// Errors: those of domain.Limits.Check and domain.CashLimits.Check.
func (s *Service) admit(ctx context.Context, o *domain.Order) error {
	limits := s.Limits()
	if err := limits.Cash.Check(*o, identity.FromContext(ctx).IsGuest()); err != nil {
		return err
	}
	now := s.Clock.Now()
	standing, err := s.Store.Standing(ctx, o.CustomerID, o.Mailbox(), now)
	if err != nil {
		return err
	}
	if o.Payment.Method == domain.CashOnDelivery && limits.ExpireAfter > 0 {
		o.ExpiresAt = now.Add(limits.ExpireAfter)
	}
	return limits.Check(*o, standing, now)
}
