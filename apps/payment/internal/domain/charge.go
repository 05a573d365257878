package domain

// ChargeState is where a payment stands at its provider.
type ChargeState string

// The states of a charge.
const (
	ChargeAuthorized ChargeState = "authorized"
	ChargeCaptured   ChargeState = "captured"
	ChargeDeclined   ChargeState = "declined"
	ChargeVoided     ChargeState = "voided"
)

// Charge is what the provider says of a payment, in whatever way it said it: the answer to a call, a
// webhook, or a question about its status. All of them settle a payment through the same rules.
type Charge struct {
	// Ref is the provider's name for it.
	Ref   string
	State ChargeState
	// Reason is why it was declined.
	Reason string
}

// Status is what a payment becomes when its provider says c.
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

// Notice is one event of a provider, as its webhook told it.
type Notice struct {
	// EventID is the provider's own; the same event may come more than once.
	EventID   string
	PaymentID string
	Charge    Charge
	// RefundID is the refund that was done; "": the notice is about none.
	RefundID string
}
