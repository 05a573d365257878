package domain

import (
	"souk/pkg/errs"
	"souk/pkg/money"
)

// Redemption is the use of vouchers by an order.
type Redemption struct {
	OrderID  string
	Customer Customer
	Uses     []Use
}

// Use is what a voucher takes off an order.
type Use struct {
	VoucherID string
	// ShopID is set by the store.
	ShopID string
	Amount money.Money
	// OperatorAmount is the part of Amount that the operator bears.
	OperatorAmount money.Money
	// UsedUp reports whether it was the last use, or has spent the budget. It is set by the store.
	UsedUp bool
}

// Invalid returns the error of a voucher that cannot be used. path names it.
//
// Errors: voucher_invalid.
func Invalid(path string, why Refusal) error {
	e := errs.New(errs.VoucherInvalid, "%s", why.Detail)
	e.Fields = []errs.Field{{Path: path, Message: why.Detail, Reason: string(why.Reason)}}
	return e
}
