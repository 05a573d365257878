package service

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/saga"
)

// undoLost defines the saga that undoes what other services keep for an order that was lost, since its database was
// restored to an earlier moment than theirs. After the pivot, which the saga does not pass if there is such an order,
// the steps give back money, stock and vouchers.
func (s *Sagas) undoLost() saga.Definition {
	return saga.Definition{
		Type:     domain.UndoLostSaga,
		Version:  domain.UndoLostVersion,
		Deadline: 24 * time.Hour,
		Steps: []saga.Step{
			s.Store.LostStep("lost", func(r *saga.Run) (string, error) {
				in, err := lostOf(r)
				return in.OrderID, err
			}),
			{Name: "pay_back", Do: s.payBackLost},
			{Name: "restock", Do: s.restockLost},
			{Name: "release_vouchers", Do: func(ctx context.Context, r *saga.Run) error {
				in, err := lostOf(r)
				if err != nil {
					return err
				}
				_, err = s.Vouchers.ReleaseVouchers(ctx, &voucherv1.ReleaseVouchersRequest{OrderId: in.OrderID})
				return err
			}},
		},
	}
}

func lostOf(r *saga.Run) (domain.LostOrder, error) {
	var in domain.LostOrder
	err := r.Input(&in)
	return in, err
}

// payBackLost voids the payment, or refunds what is left of it.
func (s *Sagas) payBackLost(ctx context.Context, r *saga.Run) error {
	in, err := lostOf(r)
	if err != nil {
		return err
	}
	_, err = s.Payments.Void(ctx, &paymentv1.VoidRequest{OrderId: in.OrderID})
	if !errs.Is(err, errs.Conflict) {
		return err
	}
	_, err = s.Payments.Refund(ctx, &paymentv1.RefundRequest{OrderId: in.OrderID, IdempotencyKey: r.Key()})
	if errs.Is(err, errs.Conflict) {
		return nil // all of it was refunded before
	}
	return err
}

// restockLost releases the reservation, or restocks what is left of it if it was sold.
func (s *Sagas) restockLost(ctx context.Context, r *saga.Run) error {
	in, err := lostOf(r)
	if err != nil {
		return err
	}
	_, err = s.Products.ReleaseInventory(ctx, &productv1.ReleaseInventoryRequest{OrderId: in.OrderID})
	if !errs.Is(err, errs.Conflict) {
		return err
	}
	_, err = s.Products.RestockInventory(ctx, &productv1.RestockInventoryRequest{OrderId: in.OrderID})
	return err
}
