// Package domain is the rules of payments: which states follow which, and what may be refunded.
package domain

import "slices"

// Status is where a payment stands.
type Status string

// The states of a payment.
const (
	// Pending: the provider has been, or is about to be, asked for an authorization.
	Pending Status = "pending"
	// Authorized: the provider holds the money for us.
	Authorized Status = "authorized"
	// Captured: the money is ours.
	Captured Status = "captured"
	// Failed: the provider refused.
	Failed Status = "failed"
	// Voided: given up before it was captured, perhaps before it was authorized.
	Voided Status = "voided"
	// PartiallyRefunded and Refunded: some or all of the captured money went back.
	PartiallyRefunded Status = "partially_refunded"
	Refunded          Status = "refunded"
)

// Statuses lists every status.
var Statuses = []Status{Pending, Authorized, Captured, Failed, Voided, PartiallyRefunded, Refunded}

// transitions says what may follow. A pending payment may be captured at once: the notice of the
// capture can overtake the answer to the authorization.
var transitions = map[Status][]Status{
	Pending:           {Authorized, Captured, Failed, Voided},
	Authorized:        {Captured, Voided},
	Captured:          {PartiallyRefunded, Refunded},
	PartiallyRefunded: {PartiallyRefunded, Refunded},
}

// CanBecome reports whether next may follow s.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Before lists the statuses that next may follow.
func Before(next Status) []Status {
	var out []Status
	for _, s := range Statuses {
		if s.CanBecome(next) {
			out = append(out, s)
		}
	}
	return out
}

// HasCapture reports whether money was captured, though it may have gone back since.
func (s Status) HasCapture() bool {
	return s == Captured || s == PartiallyRefunded || s == Refunded
}
