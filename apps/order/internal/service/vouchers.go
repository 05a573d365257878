package service

import (
	"context"
	"fmt"

	"souk/apps/order/internal/domain"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/saga"
)

// evaluate asks the voucher service what vouchers take off the order, which has no discounts yet.
func (s *Service) evaluate(
	ctx context.Context, codes []string, o domain.Order, cart domain.Cart,
) ([]domain.AppliedVoucher, []domain.RejectedVoucher, error) {
	earlier, err := s.Store.HasOrder(ctx, o.CustomerID)
	if err != nil {
		return nil, nil, err
	}
	req := &voucherv1.EvaluateVouchersRequest{
		Codes: codes,
		Customer: &voucherv1.VoucherCustomer{
			CustomerId: o.CustomerID, Mailbox: o.Mailbox(), FirstOrder: !earlier,
		},
	}
	categories := make(map[string][]string, len(cart.Lines))
	for _, l := range cart.Lines {
		categories[l.VariantID] = l.CategoryIDs
	}
	for _, p := range o.Parts {
		req.Shops = append(req.Shops,
			&voucherv1.EvaluatedShop{ShopId: p.ShopID, Shipping: p.Totals.Shipping.ToProto()})
		for _, it := range p.Items {
			req.Lines = append(req.Lines, &voucherv1.EvaluatedLine{
				ProductId: it.ProductID, ShopId: p.ShopID, CategoryIds: categories[it.VariantID],
				Quantity: it.Quantity, UnitPrice: it.UnitPrice.ToProto(),
			})
		}
	}
	res, err := s.Vouchers.EvaluateVouchers(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	var applied []domain.AppliedVoucher
	for _, v := range res.GetVouchers() {
		a := domain.AppliedVoucher{
			ID: v.GetVoucherId(), Code: v.GetCode(), Title: v.GetTitle(), Reason: v.GetReason(),
			CodeIndex: int(v.GetCodeIndex()),
		}
		if a.Lines, err = amountsFromProto(v.GetLines(), len(req.GetLines())); err != nil {
			return nil, nil, err
		}
		if a.Shipping, err = amountsFromProto(v.GetShipping(), len(req.GetShops())); err != nil {
			return nil, nil, err
		}
		applied = append(applied, a)
	}
	var rejected []domain.RejectedVoucher
	for _, v := range res.GetRejected() {
		i := int(v.GetCodeIndex())
		rejected = append(rejected, domain.RejectedVoucher{
			CodeIndex: i, Code: codes[i], Reason: v.GetReason(), Detail: v.GetDetail(),
		})
	}
	return applied, rejected, nil
}

// amountsFromProto converts discounts of n lines or shops.
//
// Errors: internal.
func amountsFromProto(all []*voucherv1.EvaluatedDiscount, n int) ([]domain.AppliedAmount, error) {
	out := make([]domain.AppliedAmount, len(all))
	for i, d := range all {
		amount, err := money.FromProto(d.GetAmount())
		operator, operatorErr := money.FromProto(d.GetOperatorAmount())
		if at := int(d.GetIndex()); err != nil || operatorErr != nil || at < 0 || at >= n {
			return nil, errs.New(errs.Internal, "the discounts of a voucher cannot be read")
		}
		out[i] = domain.AppliedAmount{Index: int(d.GetIndex()), Amount: amount, OperatorAmount: operator}
	}
	return out, nil
}

// vouchersInvalid returns the error of a checkout with codes that cannot be used.
//
// Errors: voucher_invalid.
func vouchersInvalid(rejected []domain.RejectedVoucher) error {
	e := errs.New(errs.VoucherInvalid, "%s", rejected[0].Detail)
	if n := len(rejected); n > 1 {
		e = errs.New(errs.VoucherInvalid, "%d vouchers cannot be used", n)
	}
	for _, v := range rejected {
		e.Fields = append(e.Fields, errs.Field{Path: codePath(v.CodeIndex), Message: v.Detail, Reason: v.Reason})
	}
	return e
}

func codePath(i int) string { return fmt.Sprintf("voucherCodes[%d]", i) }

// redeem uses the vouchers. Their limits may have been reached since the order was placed.
func (s *Sagas) redeem(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil || len(in.Vouchers) == 0 {
		return err
	}
	req := &voucherv1.RedeemVouchersRequest{
		OrderId:  r.ID(),
		Customer: &voucherv1.VoucherCustomer{CustomerId: in.CustomerID, Mailbox: in.Mailbox},
	}
	paths := make(map[string]string, len(in.Vouchers))
	for _, v := range in.Vouchers {
		req.Uses = append(req.Uses, &voucherv1.VoucherUse{
			VoucherId: v.ID, Amount: money.New(v.Amount, in.Currency).ToProto(),
			OperatorAmount: money.New(v.OperatorAmount, in.Currency).ToProto(),
		})
		paths[v.ID] = codePath(v.CodeIndex)
	}
	_, err := s.Vouchers.RedeemVouchers(ctx, req)
	if errs.Is(err, errs.VoucherInvalid) {
		refused := errs.From(err)
		e := errs.New(errs.VoucherInvalid, "%s", refused.Message)
		for _, f := range refused.Fields { // the voucher service names vouchers
			e.Fields = append(e.Fields, errs.Field{Path: paths[f.Path], Message: f.Message, Reason: f.Reason})
		}
		err = e
	}
	return keepRefusal(r, err)
}

func (s *Sagas) releaseVouchers(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil || len(in.Vouchers) == 0 {
		return err
	}
	_, err := s.Vouchers.ReleaseVouchers(ctx, &voucherv1.ReleaseVouchersRequest{OrderId: r.ID()})
	return err
}
