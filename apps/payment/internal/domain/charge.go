package domain

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
