package domain

import (
	"time"

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
	// RefundWaived: the cash was not collected yet, and will not be.
	RefundWaived RefundState = "waived"
)

// Refund is a request to pay money back.
type Refund struct {
	ID, PaymentID, Key string
	// Amount is minor units of the payment's currency.
	Amount int64
	State  RefundState
}

// Claim returns how much of p a refund of the amount takes; a nil amount takes all that is left. Cash that was not
// collected is waived instead: see Waivable.
//
// Errors: conflict (nothing was captured or nothing is left), invalid_argument (another currency or not
// positive), unprocessable (more than is left).
func (p Payment) Claim(amount *money.Money) (int64, error) {
	left := p.Captured - p.RefundClaimed
	switch {
	case p.Waivable():
		left = p.Amount.Minor() - p.Waived
	case !p.Status.HasCapture():
		return 0, errs.New(errs.Conflict, "only captured money can be refunded; this payment is %s", p.Status)
	}
	switch {
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

// Waivable reports whether a refund of p is waived: p is cash that was not collected yet.
func (p Payment) Waivable() bool { return p.Status == Authorized && !p.Method.ByProvider() }

// AfterWaiver returns p after the amount was waived.
func (p Payment) AfterWaiver(amount int64, at time.Time) Payment {
	p.Waived, p.Version, p.UpdatedAt = p.Waived+amount, p.Version+1, at
	if p.Waived == p.Amount.Minor() {
		p.Status = Voided
	}
	return p
}

// AfterRefund returns p's status after the amount is refunded.
func (p Payment) AfterRefund(amount int64) Status {
	if p.Refunded+amount >= p.Captured {
		return Refunded
	}
	return PartiallyRefunded
}
