// Package domain defines mails, their failures and their backoff.
package domain

import (
	"errors"
	"time"
)

// Kind is the subject of a mail.
type Kind string

// The kinds of mails.
const (
	OrderConfirmed Kind = "order_confirmed"
	OrderCancelled Kind = "order_cancelled"
)

// Mail is one mail to send. It holds neither name nor address.
type Mail struct {
	ID      string
	Kind    Kind
	OrderID string
	// Attempts counts the attempts, including the current one.
	Attempts    int32
	Traceparent string
	CreatedAt   time.Time
}

// MessageID returns the Message-ID. It is the same at every attempt, so that a second copy can be recognized.
func (m Mail) MessageID() string { return m.OrderID + "." + string(m.Kind) + "@souk" }

// Message is a rendered mail.
type Message struct {
	// To is the bare address of the recipient.
	To string
	// Data holds headers and body.
	Data []byte
}

// Failure is why a mail could not be sent. The reason holds no names or addresses.
type Failure struct {
	Reason string
	// Permanent: a retry would fail, too.
	Permanent bool
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// Permanent returns a failure that is not retried.
func Permanent(reason string) error { return &Failure{Reason: reason, Permanent: true} }

// Temporary returns a failure that is retried.
func Temporary(reason string) error { return &Failure{Reason: reason} }

// FailureOf returns the Failure in err, or a temporary one with the reason.
func FailureOf(err error, reason string) Failure {
	var f *Failure
	if errors.As(err, &f) {
		return *f
	}
	return Failure{Reason: reason}
}

const (
	firstBackoff = time.Second
	maxBackoff   = 10 * time.Minute
)

// Backoff returns the delay after the given number of attempts: a second, doubled each time up to ten
// minutes.
func Backoff(attempts int32) time.Duration {
	if attempts > 10 {
		return maxBackoff
	}
	return min(firstBackoff<<max(attempts-1, 0), maxBackoff)
}
