package service

import (
	"context"

	paymentv1 "souk/gen/go/souk/payment/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
)

// adoptBatch is the number of orders adopted per pass.
const adoptBatch = 100

// Adopt transfers a guest's orders, their payments and the uses of vouchers to a user. It may be repeated, also after
// it failed halfway: payments and uses are transferred first, because they are found through the orders that still
// belong to the guest.
//
// Errors: unavailable, timeout.
func (s *Service) Adopt(ctx context.Context, guestID, userID string) error {
	for {
		ids, err := s.Store.OrdersOf(ctx, guestID, adoptBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		uses := &voucherv1.AdoptVoucherUsesRequest{GuestId: guestID, UserId: userID, OrderIds: ids}
		if _, err := s.Vouchers.AdoptVoucherUses(ctx, uses); err != nil {
			return err
		}
		req := &paymentv1.AdoptPaymentsRequest{GuestId: guestID, UserId: userID, OrderIds: ids}
		if _, err := s.Payments.AdoptPayments(ctx, req); err != nil {
			return err
		}
		if err := s.Store.Adopt(ctx, guestID, userID, ids); err != nil {
			return err
		}
	}
}
