// Package domain is what mails there are, and when they are tried.
package domain

import (
	"errors"
	"time"
)

// Kind is what a mail tells.
type Kind string

// The kinds of mails.
const (
	OrderConfirmed Kind = "order_confirmed"
	OrderCancelled Kind = "order_cancelled"
)

// Mail is one mail that is to be sent. It holds neither name nor address.
type Mail struct {
	ID      string
	Kind    Kind
	OrderID string
	// Attempts counts the tries, this one included.
	Attempts    int32
	Traceparent string
	CreatedAt   time.Time
}

// MessageID is the same at every try, so that a second copy can be recognised.
func (m Mail) MessageID() string { return m.OrderID + "." + string(m.Kind) + "@souk" }

// Message is a mail as it goes to the server.
type Message struct {
	// To is the bare address of the recipient.
	To string
	// Data is the whole of it: headers and body.
	Data []byte
}

// Failure is why a mail could not be sent, in words without names and addresses.
type Failure struct {
	Reason string
	// Permanent: it makes no sense to try again.
	Permanent bool
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// Never makes a permanent failure.
func Never(reason string) error { return &Failure{Reason: reason, Permanent: true} }

// Later makes a failure that may pass.
func Later(reason string) error { return &Failure{Reason: reason} }

// FailureOf returns err's failure; one that may pass when it has none.
func FailureOf(err error, reason string) Failure {
	var f *Failure
	if errors.As(err, &f) {
		return *f
	}
	return Failure{Reason: reason}
}

const (
	firstPause = time.Second
	lastPause  = 10 * time.Minute
)

// Pause is how long to wait after so many tries: a second, doubled each time up to ten minutes.
func Pause(attempts int32) time.Duration {
	if attempts > 10 {
		return lastPause
	}
	return min(firstPause<<max(attempts-1, 0), lastPause)
}
