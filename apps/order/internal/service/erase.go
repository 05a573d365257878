package service

import (
	"context"
	"slices"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// EraseGuest has the keyring destroy the keys of the guest who placed an order, so that neither this order nor the
// guest's others show an address any more.
//
// Errors: not_found, conflict (the order is a user's, or some of it was not shipped).
func (s *Service) EraseGuest(ctx context.Context, orderID string) error {
	_, err := s.Store.ChangeAndStart(ctx, orderID, func(o *domain.Order) ([]event.Event, domain.Start, error) {
		if !o.OfGuest() {
			return nil, domain.Start{}, errs.New(
				errs.Conflict,
				"the order is a user's: erase the user %s",
				o.CustomerID,
			)
		}
		if slices.ContainsFunc(o.Parts, func(p domain.ShopOrder) bool {
			return p.Status == domain.Pending || p.Status == domain.Confirmed
		}) {
			return nil, domain.Start{}, errs.New(errs.Conflict,
				"some of the order was not shipped, and needs its address: cancel it or wait")
		}
		e, err := event.New(ctx, SubjectErased, o.ID, o.Version, s.Clock.Now(),
			&orderv1.GuestErased{OrderId: o.ID, GuestId: o.CustomerID})
		return []event.Event{e}, domain.Start{}, err
	})
	return noOrder(err)
}
