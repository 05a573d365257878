package domain

import (
	"souk/pkg/errs"
	"souk/pkg/money"
)

// Discount is what a voucher takes off a line, or off the shipping of a shop order.
type Discount struct {
	VoucherID, Code, Title, Reason string
	Amount                         money.Money
	// OperatorAmount is the part of Amount that the operator bears. The shop bears the rest.
	OperatorAmount money.Money
}

// Total is what the line costs after its discounts.
func (i Item) Total() money.Money {
	return money.New(i.LineTotal.Minor()-i.Discount.Minor(), i.LineTotal.Currency())
}

// AppliedVoucher is what a voucher takes off an order.
type AppliedVoucher struct {
	ID, Code, Title, Reason string
	// CodeIndex is the index of the code among those of the request.
	CodeIndex int
	// Lines are by index of the order's items, over all shop orders; Shipping by index of the shop orders.
	Lines, Shipping []AppliedAmount
}

// AppliedAmount is what a voucher takes off one line or the shipping of one shop order.
type AppliedAmount struct {
	Index                  int
	Amount, OperatorAmount money.Money
}

// VoucherUse is a voucher that a checkout redeems, and what it takes off the whole order.
type VoucherUse struct {
	ID                     string
	CodeIndex              int
	Amount, OperatorAmount money.Money
}

// RejectedVoucher is a code that cannot be used for an order.
type RejectedVoucher struct {
	CodeIndex            int
	Code, Reason, Detail string
}

// Discount takes what vouchers take off a new order off its lines and its shipping.
//
// Errors: internal (a discount is larger than what it is taken off).
func (o *Order) Discount(applied []AppliedVoucher) error {
	var items []*Item
	for i := range o.Parts {
		for j := range o.Parts[i].Items {
			items = append(items, &o.Parts[i].Items[j])
		}
	}
	for _, v := range applied {
		use := VoucherUse{ID: v.ID, CodeIndex: v.CodeIndex}
		all := Discount{VoucherID: v.ID, Code: v.Code, Title: v.Title, Reason: v.Reason}
		for _, a := range v.Lines {
			it := items[a.Index]
			all.Amount, all.OperatorAmount = a.Amount, a.OperatorAmount
			it.Discounts = append(it.Discounts, all)
			if err := use.add(&it.Discount, a); err != nil {
				return err
			}
			if it.Discount.Minor() > it.LineTotal.Minor() {
				return errs.New(errs.Internal, "the discounts of a line are larger than the line")
			}
		}
		for _, a := range v.Shipping {
			p := &o.Parts[a.Index]
			all.Amount, all.OperatorAmount = a.Amount, a.OperatorAmount
			p.ShippingDiscounts = append(p.ShippingDiscounts, all)
			off := money.New(0, a.Amount.Currency())
			if err := use.add(&off, a); err != nil {
				return err
			}
			var err error
			if p.Totals.Shipping, err = p.Totals.Shipping.Sub(off); err != nil {
				return err
			}
			if p.Totals.Shipping.IsNegative() {
				return errs.New(errs.Internal, "the discounts of a shipping are larger than the shipping")
			}
		}
		o.Vouchers = append(o.Vouchers, use)
	}
	parts := make([]Totals, len(o.Parts))
	for i := range o.Parts {
		var err error
		if parts[i], err = add(o.Parts[i].Items, o.Parts[i].Totals.Shipping); err != nil {
			return err
		}
		o.Parts[i].Totals = parts[i]
	}
	var err error
	o.Totals, err = sum(o.Totals.Total.Currency(), parts)
	return err
}

// add adds a discount to that of a line and to what the voucher takes off in all.
func (u *VoucherUse) add(to *money.Money, a AppliedAmount) (err error) {
	if *to, err = to.Add(a.Amount); err != nil {
		return err
	}
	if u.Amount == (money.Money{}) {
		u.Amount, u.OperatorAmount = a.Amount, a.OperatorAmount
		return nil
	}
	if u.Amount, err = u.Amount.Add(a.Amount); err != nil {
		return err
	}
	u.OperatorAmount, err = u.OperatorAmount.Add(a.OperatorAmount)
	return err
}

// OperatorDiscount is the part of the shop order's discounts that the operator bears.
func (p *ShopOrder) OperatorDiscount() money.Money {
	total := int64(0)
	for _, d := range p.ShippingDiscounts {
		total += d.OperatorAmount.Minor()
	}
	for _, it := range p.Items {
		for _, d := range it.Discounts {
			total += d.OperatorAmount.Minor()
		}
	}
	return money.New(total, p.Totals.Total.Currency())
}
