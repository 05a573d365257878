package domain

import (
	"souk/pkg/errs"
	"souk/pkg/money"
)

// RefundState is the state of a refund.
type RefundState string

// The states of a refund.
const (
	// RefundRequested: the provider was asked or is about to be asked.
	RefundRequested RefundState = "requested"
	// RefundDone: the money was paid back.
	RefundDone RefundState = "done"
	// RefundRefused: the provider refused.
	RefundRefused RefundState = "refused"
)

// Refund is a request to pay money back.
type Refund struct {
	ID, PaymentID, Key string
	// Amount is minor units of the payment's currency.
	Amount int64
	State  RefundState
}

// Claim returns how much of p a refund of the amount takes; a nil amount takes all that is left.
//
// Errors: conflict (nothing was captured or nothing is left), invalid_argument (another currency or not
// positive), unprocessable (more than is left).
func (p Payment) Claim(amount *money.Money) (int64, error) {
	left := p.Captured - p.RefundClaimed
	switch {
	case !p.Status.HasCapture():
		return 0, errs.New(errs.Conflict, "only captured money can be refunded; this payment is %s", p.Status)
	case amount == nil && left == 0:
		return 0, errs.New(errs.Conflict, "everything was refunded already")
	case amount == nil:
		return left, nil
	case amount.Currency() != p.Amount.Currency():
		return 0, errs.InvalidField("amount.currencyCode", "must be %s, the payment's currency", p.Amount.Currency())
	case amount.Minor() <= 0:
		return 0, errs.InvalidField("amount.amount", "must be more than zero")
	case amount.Minor() > left:
		return 0, errs.New(errs.Unprocessable, "no more than %s is left to refund",
			money.New(left, p.Amount.Currency()))
	}
	return amount.Minor(), nil
}

// AfterRefund returns p's status after the amount is refunded.
func (p Payment) AfterRefund(amount int64) Status {
	if p.Refunded+amount >= p.Captured {
		return Refunded
	}
	return PartiallyRefunded
}
