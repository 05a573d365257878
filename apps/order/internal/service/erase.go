package service

import (
	"context"

	"souk/apps/order/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// EraseGuest has the keyring destroy the keys of the guest who placed an order, so that neither this order nor the
// guest's others show an address any more. The guest must not be ordering at the moment.
//
// Errors: not_found, conflict (an order is a user's, or something was not shipped).
func (s *Service) EraseGuest(ctx context.Context, orderID string) error {
	o, err := s.Store.ByID(ctx, orderID)
	if err != nil {
		return noOrder(err)
	}
	if !o.OfGuest() {
		return errs.New(errs.Conflict, "the order is a user's: erase the user %s", o.CustomerID)
	}
	unshipped, adopted, err := s.Store.Unshipped(ctx, o.CustomerID)
	switch {
	case err != nil:
		return err
	case adopted:
		return errs.New(errs.Conflict, "a user has other orders of this guest: erase the user")
	case unshipped:
		return errs.New(
			errs.Conflict,
			"an order of the guest was not shipped, and needs its address: cancel it or wait",
		)
	}
	_, err = s.Store.ChangeAndStart(ctx, orderID, func(o *domain.Order) ([]event.Event, domain.Start, error) {
		e, err := event.New(ctx, SubjectErased, o.ID, o.Version, s.Clock.Now(),
			&orderv1.GuestErased{OrderId: o.ID, GuestId: o.CustomerID})
		return []event.Event{e}, domain.Start{}, err
	})
	return noOrder(err)
}

// HasUnshipped reports whether something of a customer's orders is to be shipped.
//
// Errors: unavailable.
func (s *Service) HasUnshipped(ctx context.Context, customerID string) (bool, error) {
	unshipped, _, err := s.Store.Unshipped(ctx, customerID)
	return unshipped, err
}
