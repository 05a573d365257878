package domain

import (
	"time"

	"souk/pkg/money"
)

// ChargeState is the state of a payment at its provider.
type ChargeState string

// The states of a charge.
const (
	ChargeAuthorized ChargeState = "authorized"
	ChargeCaptured   ChargeState = "captured"
	ChargeDeclined   ChargeState = "declined"
	ChargeVoided     ChargeState = "voided"
)

// Charge is what the provider reports about a payment, whether in the answer to a call, in a webhook or in
// its status. All three move a payment by the same rules.
type Charge struct {
	// Ref is the provider's ID of the charge.
	Ref   string
	State ChargeState
	// Reason is why the charge was declined.
	Reason string
}

// Status returns the status that a payment takes when its charge is c.
func (c Charge) Status() Status {
	switch c.State {
	case ChargeAuthorized:
		return Authorized
	case ChargeCaptured:
		return Captured
	case ChargeDeclined:
		return Failed
	case ChargeVoided:
		return Voided
	}
	return Pending
}

// Notice is one event of a provider, read from a webhook.
type Notice struct {
	// EventID is the provider's ID of the event. The same event may arrive more than once.
	EventID   string
	PaymentID string
	Charge    Charge
	// RefundID is the refund that was done; empty if the notice is not about a refund.
	RefundID string
}

// BookedCharge is a charge in the provider's list of all charges.
type BookedCharge struct {
	Charge
	// PaymentID is the key under which souk asked for the charge.
	PaymentID          string
	Captured, Refunded money.Money
	CreatedAt          time.Time
}

// AtRisk reports whether the provider holds, or keeps, money for the charge.
func (c BookedCharge) AtRisk() bool {
	return c.State == ChargeAuthorized || c.Captured.Minor() > c.Refunded.Minor()
}

// Matches reports whether the payment has what the provider captured and refunded for it.
func (c BookedCharge) Matches(p Payment) bool {
	return p.CapturedAmount() == c.Captured && p.RefundedAmount() == c.Refunded &&
		(c.State != ChargeAuthorized || p.Status == Authorized || p.Status == Pending)
}

// ChargePosition is a place in the provider's list of charges, which is ordered by time and payment.
type ChargePosition struct {
	CreatedAt time.Time
	PaymentID string
}
