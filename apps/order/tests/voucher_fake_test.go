package tests

import (
	"context"
	"fmt"

	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// EvaluateVouchers knows the codes TEN (10 % of each line), FIRST (the same, for a first order) and ALL (everything).
func (f *fakes) EvaluateVouchers(
	_ context.Context, r *voucherv1.EvaluateVouchersRequest,
) (*voucherv1.EvaluateVouchersResponse, error) {
	if err := f.enter("EvaluateVouchers"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	res := &voucherv1.EvaluateVouchersResponse{}
	for i, code := range r.GetCodes() {
		at := int32(i) //nolint:gosec // there are a few codes
		v := &voucherv1.EvaluatedVoucher{VoucherId: "vch_" + code, CodeIndex: at, Code: code, Title: "The " + code}
		share := int64(10)
		switch {
		case code == "FIRST" && !r.GetCustomer().GetFirstOrder():
			res.Rejected = append(res.Rejected, &voucherv1.RejectedCode{
				CodeIndex: at, Reason: "not_applicable", Detail: "the voucher is for a first order only",
			})
			continue
		case code == "ALL":
			share = 100
			for j, s := range r.GetShops() {
				v.Shipping = append(v.Shipping, &voucherv1.EvaluatedDiscount{
					Index: int32(j), Amount: s.GetShipping(), OperatorAmount: s.GetShipping(), //nolint:gosec // a few
				})
			}
		case code != "TEN" && code != "FIRST":
			res.Rejected = append(res.Rejected, &voucherv1.RejectedCode{
				CodeIndex: at, Reason: "unknown", Detail: "there is no such voucher",
			})
			continue
		}
		for j, l := range r.GetLines() {
			price, err := money.FromProto(l.GetUnitPrice())
			if err != nil {
				return nil, err
			}
			off := money.New(price.Minor()*l.GetQuantity()*share/100, price.Currency())
			v.Lines = append(v.Lines, &voucherv1.EvaluatedDiscount{
				Index:  int32(j), //nolint:gosec // a few
				Amount: off.ToProto(), OperatorAmount: money.New(off.Minor()/2, off.Currency()).ToProto(),
			})
		}
		res.Vouchers = append(res.Vouchers, v)
	}
	return res, nil
}

func (f *fakes) RedeemVouchers(
	_ context.Context, r *voucherv1.RedeemVouchersRequest,
) (*voucherv1.RedeemVouchersResponse, error) {
	if err := f.enter("RedeemVouchers"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	switch f.redeemed[r.GetOrderId()] {
	case "released":
		return nil, errs.New(errs.Conflict, "the vouchers of this order were released")
	case "redeemed":
		return &voucherv1.RedeemVouchersResponse{}, nil
	}
	f.redeemed[r.GetOrderId()] = "redeemed"
	for _, u := range r.GetUses() {
		amount, operator := u.GetAmount().GetAmount(), u.GetOperatorAmount().GetAmount()
		f.moved[fmt.Sprintf("redeem %s %s %s", u.GetVoucherId(), amount, operator)]++
	}
	return &voucherv1.RedeemVouchersResponse{}, nil
}

func (f *fakes) ReleaseVouchers(
	_ context.Context, r *voucherv1.ReleaseVouchersRequest,
) (*voucherv1.ReleaseVouchersResponse, error) {
	if err := f.enter("ReleaseVouchers"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	f.redeemed[r.GetOrderId()] = "released"
	return &voucherv1.ReleaseVouchersResponse{}, nil
}

func (f *fakes) AdoptVoucherUses(
	_ context.Context, r *voucherv1.AdoptVoucherUsesRequest,
) (*voucherv1.AdoptVoucherUsesResponse, error) {
	if err := f.enter("AdoptVoucherUses"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	f.moved["adopt uses"] += len(r.GetOrderIds())
	return &voucherv1.AdoptVoucherUsesResponse{}, nil
}

// redemption returns whether the vouchers of an order are redeemed or released; "" if they never were.
func (f *fakes) redemption(orderID string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.redeemed[orderID]
}
