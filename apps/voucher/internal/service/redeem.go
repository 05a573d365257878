package service

import (
	"context"
	"slices"
	"time"

	"souk/apps/voucher/internal/domain"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// Subjects of the events that voucher publishes.
const (
	SubjectRedeemed = "evt.voucher.redeemed"
	SubjectReleased = "evt.voucher.released"
	SubjectUsedUp   = "evt.voucher.used_up"
)

// Evaluate returns what the vouchers with the codes take off a cart, and the codes that cannot be used.
//
// Errors: those of domain.Evaluate.
func (s *Service) Evaluate(
	ctx context.Context, codes []string, customer domain.Customer, c domain.Cart,
) ([]domain.Applied, []domain.Rejected, error) {
	var normal, shops []string
	for _, code := range codes {
		normal = append(normal, domain.NormalCode(code))
	}
	for _, shop := range c.Shops {
		shops = append(shops, shop.ID)
	}
	found, err := s.Store.Find(ctx, normal, shops)
	if err != nil {
		return nil, nil, err
	}
	usage, err := s.Store.Usage(ctx, found, customer)
	if err != nil {
		return nil, nil, err
	}
	return domain.Evaluate(codes, found, usage, customer, c, s.Clock.Now())
}

// Redeem uses vouchers for an order, all or none. Repeating it has no effect.
//
// Errors: invalid_argument, voucher_invalid (the path of its field is the voucher's ID), conflict (the vouchers of the
// order were released).
func (s *Service) Redeem(ctx context.Context, r domain.Redemption) error {
	seen := make([]string, 0, len(r.Uses))
	for _, u := range r.Uses {
		if slices.Contains(seen, u.VoucherID) {
			return errs.InvalidField("uses", "must name each voucher once")
		}
		seen = append(seen, u.VoucherID)
	}
	return s.Store.Redeem(ctx, r, s.Clock.Now(), redeemed)
}

// Release gives back the uses of an order, and refuses later ones. Repeating it has no effect.
func (s *Service) Release(ctx context.Context, orderID string) error {
	return s.Store.Release(ctx, orderID, s.Clock.Now(), Released)
}

// redeemed returns the events of a redemption: its own, and those of the vouchers that it used up.
func redeemed(ctx context.Context, r domain.Redemption, at time.Time) ([]event.Event, error) {
	e, err := event.New(ctx, SubjectRedeemed, r.OrderID, 1, at, &voucherv1.VouchersRedeemed{
		OrderId: r.OrderID, CustomerId: r.Customer.ID, Vouchers: redeemedToProto(r.Uses),
	})
	events := []event.Event{e}
	for _, u := range r.Uses {
		if err != nil || !u.UsedUp {
			continue
		}
		e, err = event.New(ctx, SubjectUsedUp, u.VoucherID, 0, at,
			&voucherv1.VoucherUsedUp{VoucherId: u.VoucherID, ShopId: u.ShopID})
		events = append(events, e)
	}
	return events, err
}

// Released returns the event of a release.
func Released(ctx context.Context, r domain.Redemption, at time.Time) ([]event.Event, error) {
	e, err := event.New(ctx, SubjectReleased, r.OrderID, 2, at, &voucherv1.VouchersReleased{
		OrderId: r.OrderID, CustomerId: r.Customer.ID, Vouchers: redeemedToProto(r.Uses),
	})
	return []event.Event{e}, err
}

func redeemedToProto(uses []domain.Use) []*voucherv1.RedeemedVoucher {
	var out []*voucherv1.RedeemedVoucher
	for _, u := range uses {
		out = append(out, &voucherv1.RedeemedVoucher{
			VoucherId: u.VoucherID, ShopId: u.ShopID,
			Amount: u.Amount.ToProto(), OperatorAmount: u.OperatorAmount.ToProto(),
		})
	}
	return out
}

// Adopt makes the uses of a guest's orders those of a user. Repeating it has no effect.
func (s *Service) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return s.Store.Adopt(ctx, guestID, userID, orderIDs)
}
