package domain

import "time"

// Transition moves a payment to the state that its provider reports.
type Transition struct {
	PaymentID   string
	Status      Status
	ProviderRef string
	// Reason is why the payment failed.
	Reason string
	At     time.Time
}

// RefundEnd is the outcome of a refund.
type RefundEnd struct {
	RefundID string
	State    RefundState
	At       time.Time
}

// Webhook is a provider's notice as the inbox records it.
type Webhook struct {
	Provider, EventID, PaymentID string
	// RefundID is the refund that the notice reports as done; empty if it is not about a refund.
	RefundID string
	BodyHash []byte
	At       time.Time
}
