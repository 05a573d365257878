// Package domain holds the rules of payments: the allowed transitions and refunds.
package domain

import "slices"

// Status is the state of a payment.
type Status string

// The states of a payment.
const (
	// Pending: the provider was asked, or is about to be asked, for an authorization.
	Pending Status = "pending"
	// Authorized: the provider holds the money.
	Authorized Status = "authorized"
	// Captured: the money was taken.
	Captured Status = "captured"
	// Failed: the provider refused.
	Failed Status = "failed"
	// Voided: given up before capture, perhaps before authorization.
	Voided Status = "voided"
	// PartiallyRefunded and Refunded: some or all of the captured money was paid back.
	PartiallyRefunded Status = "partially_refunded"
	Refunded          Status = "refunded"
)

// Statuses lists every status.
var Statuses = []Status{Pending, Authorized, Captured, Failed, Voided, PartiallyRefunded, Refunded}

// transitions lists the statuses that may follow each status. A pending payment may be captured directly: the
// notice of the capture can overtake the answer to the authorization.
var transitions = map[Status][]Status{
	Pending:           {Authorized, Captured, Failed, Voided},
	Authorized:        {Captured, Voided},
	Captured:          {PartiallyRefunded, Refunded},
	PartiallyRefunded: {PartiallyRefunded, Refunded},
}

// CanBecome reports whether the status next may follow s.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Before returns the statuses that next may follow.
func Before(next Status) []Status {
	var out []Status
	for _, s := range Statuses {
		if s.CanBecome(next) {
			out = append(out, s)
		}
	}
	return out
}

// HasCapture reports whether money was captured, even if it was refunded since.
func (s Status) HasCapture() bool {
	return s == Captured || s == PartiallyRefunded || s == Refunded
}
