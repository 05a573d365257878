package domain

import "time"

// SuppressFor is how long a mailbox gets no mails after it refused one, or an operator said so.
const SuppressFor = 30 * 24 * time.Hour

// Source is who suppresses a mailbox.
type Source string

// The sources.
const (
	Bounce   Source = "bounce"
	Operator Source = "operator"
)

// Suppression is a mailbox that gets no mails. It does not show the address.
type Suppression struct {
	ID     string
	Source Source
	// Reason holds no names or addresses.
	Reason               string
	CreatedAt, ExpiresAt time.Time
}

// Reservation is whether a delivery may be sent to a recipient now.
type Reservation int

// The reservations.
const (
	// Reserved: it is counted, and may be sent.
	Reserved Reservation = iota
	// TooMany: the recipient has got too many in the last hour.
	TooMany
	// Suppressed: the mailbox is on the suppression list.
	Suppressed
)
