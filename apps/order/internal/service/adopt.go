package service

import (
	"context"

	paymentv1 "souk/gen/go/souk/payment/v1"
)

// adoptMany is how many orders are adopted at once.
const adoptMany = 100

// Adopt makes a guest's orders and their payments a user's. It may be called again, also when it failed half-way: the payments
// go first, for they are found by the orders that are still the guest's. unavailable and timeout.
func (s *Service) Adopt(ctx context.Context, guestID, userID string) error {
	for {
		ids, err := s.Store.OrdersOf(ctx, guestID, adoptMany)
		if err != nil || len(ids) == 0 {
			return err
		}
		if _, err := s.Payments.AdoptPayments(ctx, &paymentv1.AdoptPaymentsRequest{GuestId: guestID, UserId: userID, OrderIds: ids}); err != nil {
			return err
		}
		if err := s.Store.Adopt(ctx, guestID, userID, ids); err != nil {
			return err
		}
	}
}
