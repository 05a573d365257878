package domain

import "time"

// Settlement moves a payment to where its provider says it is.
type Settlement struct {
	PaymentID   string
	Status      Status
	ProviderRef string
	// Reason is why it failed.
	Reason string
	At     time.Time
}

// RefundEnd is what became of a refund.
type RefundEnd struct {
	RefundID string
	State    RefundState
	At       time.Time
}

// Webhook is a provider's notice on its way into the inbox.
type Webhook struct {
	Provider, EventID, PaymentID string
	// RefundID is the refund that the notice says is done; "": none.
	RefundID string
	BodyHash []byte
	At       time.Time
}
