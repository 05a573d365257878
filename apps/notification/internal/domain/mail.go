// Package domain defines mails, their failures and their backoff.
package domain

import (
	"errors"
	"net/mail"
	"slices"
	"time"

	"souk/pkg/mailbox"
)

// Kind is the subject of a mail.
type Kind string

// The kinds of mails.
const (
	OrderConfirmed Kind = "order_confirmed"
	OrderCancelled Kind = "order_cancelled"
	OrderShipped   Kind = "order_shipped"
	OrderDelivered Kind = "order_delivered"
	NewOrders      Kind = "new_orders"
	LowStock       Kind = "low_stock"
	ShopVerified   Kind = "shop_verified"
	ShopSuspended  Kind = "shop_suspended"
	ShopInvitation Kind = "shop_invitation"
)

// ToShop reports whether a mail of the kind goes to the owners of a shop.
func (k Kind) ToShop() bool {
	return slices.Contains([]Kind{NewOrders, LowStock, ShopVerified, ShopSuspended}, k)
}

// Hourly returns how many lists of the kind a shop gets in an hour at most; what happens meanwhile waits in the next
// one. It is 0 if a mail of the kind is not a list.
func (k Kind) Hourly() int32 {
	return map[Kind]int32{NewOrders: 6, LowStock: 1}[k]
}

// Item is a line of a mail: a shop order, or a variant whose stock is low.
type Item struct {
	OrderID     string `json:"order_id,omitempty"`
	ShopOrderID string `json:"shop_order_id,omitempty"`
	SKU         string `json:"sku,omitempty"`
	Title       string `json:"title,omitempty"`
	Available   int64  `json:"available,omitempty"`
}

// Mail is one mail to send. It holds neither name nor address.
type Mail struct {
	ID   string
	Kind Kind
	// OrderID is the order that a mail about a whole order is about. About is what another mail is about, which is
	// unique among its kind.
	OrderID, About string
	// ShopID is the shop of a mail to a shop. Such a mail is split: UserID is the owner that a part goes to.
	ShopID, UserID string
	Items          []Item
	// Attempts counts the attempts, including the current one.
	Attempts    int32
	Traceparent string
	CreatedAt   time.Time
	// Unasked reports that somebody else than the customer cancelled, so that the customer needs the mail.
	Unasked bool
	// DueAt is when a new mail is to be sent.
	DueAt time.Time
}

// MessageID returns the Message-ID. It is the same at every attempt, so that a second copy can be recognized.
func (m Mail) MessageID() string {
	if m.OrderID != "" {
		return m.OrderID + "." + string(m.Kind) + "@souk"
	}
	return m.ID + "." + string(m.Kind) + "@souk"
}

// Recipient is where a mail goes.
type Recipient struct {
	Address *mail.Address
	// Own: the address is that of an account, and verified. Others were only typed in, maybe by a stranger.
	Own bool
}

// Digest identifies the mailbox, so that its mails can be counted without storing the address. Mails to a typed address
// do not count among those to an account, so that a stranger cannot use them up.
func (r Recipient) Digest() []byte {
	if r.Own {
		return mailbox.Digest("own", r.Address.Address)
	}
	return mailbox.Digest("typed", r.Address.Address)
}

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
	// Skip: the mail is not needed any more.
	Skip bool
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// Permanent returns a failure that is not retried.
func Permanent(reason string) error { return &Failure{Reason: reason, Permanent: true} }

// Skip returns a failure that ends a mail that is not needed any more.
func Skip(reason string) error { return &Failure{Reason: reason, Skip: true} }

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
	// LimitBackoff is how long a mail waits if its recipient has got too many.
	LimitBackoff = 10 * time.Minute
)

// Backoff returns the delay after the given number of attempts: a second, doubled each time up to ten
// minutes.
func Backoff(attempts int32) time.Duration {
	if attempts > 10 {
		return maxBackoff
	}
	return min(firstBackoff<<max(attempts-1, 0), maxBackoff)
}
