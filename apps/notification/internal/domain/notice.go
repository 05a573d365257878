// Package domain defines notices, their deliveries, the failures of those and their backoff.
package domain

import (
	"encoding/hex"
	"errors"
	"maps"
	"net/mail"
	"slices"
	"time"

	"souk/pkg/mailbox"
)

// Kind is what a notice is about.
type Kind string

// The kinds of notices.
const (
	OrderConfirmed     Kind = "order_confirmed"
	OrderCancelled     Kind = "order_cancelled"
	OrderShipped       Kind = "order_shipped"
	OrderDelivered     Kind = "order_delivered"
	NewOrders          Kind = "new_orders"
	ShopOrderCancelled Kind = "shop_order_cancelled"
	LowStock           Kind = "low_stock"
	ShopVerified       Kind = "shop_verified"
	ShopSuspended      Kind = "shop_suspended"
	ShopInvitation     Kind = "shop_invitation"
	PaymentRefunded    Kind = "payment_refunded"
	CartAbandoned      Kind = "cart_abandoned"
	ReviewPosted       Kind = "review_posted"
	ReviewReplied      Kind = "review_replied"
	ReviewModerated    Kind = "review_moderated"
	VoucherUsedUp      Kind = "voucher_used_up"
	NewDevice          Kind = "new_device"
	EmailChanged       Kind = "email_changed"
	AccountSuspended   Kind = "account_suspended"
	AccountReinstated  Kind = "account_reinstated"
)

// Rule is what holds for all notices of a kind.
type Rule struct {
	// ToShop: it goes to the owners of a shop. ToUser: it goes to the user of its item. Others go to the customer of an
	// order, or to an invited person.
	ToShop, ToUser bool
	// Held: it waits, because a cancellation may make it needless, or because more may be added to it.
	Held bool
	// Required: its mails cannot be switched off, because they are needed to keep a contract or an account safe.
	Required bool
	// Hourly is how many lists of the kind a shop gets in an hour at most; what happens meanwhile waits in the next
	// one. It is 0 if the notice is not a list.
	Hourly int32
}

// rules are the rules of all kinds.
var rules = map[Kind]Rule{
	OrderConfirmed:     {Held: true, Required: true},
	OrderCancelled:     {Required: true},
	OrderShipped:       {},
	OrderDelivered:     {},
	NewOrders:          {ToShop: true, Held: true, Hourly: 6},
	ShopOrderCancelled: {ToShop: true, Held: true, Required: true},
	LowStock:           {ToShop: true, Held: true, Hourly: 1},
	ShopVerified:       {ToShop: true},
	ShopSuspended:      {ToShop: true, Required: true},
	ShopInvitation:     {Held: true, Required: true},
	PaymentRefunded:    {},
	CartAbandoned:      {ToUser: true},
	ReviewPosted:       {ToShop: true, Held: true, Hourly: 1},
	ReviewReplied:      {ToUser: true},
	ReviewModerated:    {ToUser: true},
	VoucherUsedUp:      {ToShop: true, Held: true},
	NewDevice:          {ToUser: true, Required: true},
	EmailChanged:       {ToUser: true, Required: true},
	AccountSuspended:   {ToUser: true, Required: true},
	AccountReinstated:  {ToUser: true, Required: true},
}

// Kinds returns all kinds, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(rules)) }

// Rule returns what holds for the kind.
func (k Kind) Rule() Rule { return rules[k] }

// Channel is a way to reach a recipient.
type Channel string

// The channels.
const (
	Email Channel = "email"
	Inbox Channel = "inbox"
	SMS   Channel = "sms"
	Push  Channel = "push"
)

// Item is a line of a notice: an order or shop order, a variant whose stock is low, or what a notice to a user is
// about.
type Item struct {
	// UserID is the user whom the notice goes to.
	UserID string `json:"user_id,omitempty"`
	// CartVersion is the version of an abandoned cart.
	CartVersion int64  `json:"cart_version,omitempty"`
	ReviewID    string `json:"review_id,omitempty"`
	VoucherID   string `json:"voucher_id,omitempty"`
	OrderID     string `json:"order_id,omitempty"`
	ShopOrderID string `json:"shop_order_id,omitempty"`
	SKU         string `json:"sku,omitempty"`
	Title       string `json:"title,omitempty"`
	Available   int64  `json:"available,omitempty"`
	// Amount is what was paid back, such as "BRL 10.00".
	Amount string `json:"amount,omitempty"`
}

// State is what has become of a notice or a delivery.
type State string

// The states. A notice is done when its deliveries exist, and a delivery is sent when its provider has taken it.
const (
	Queued  State = "queued"
	Done    State = "done"
	Sent    State = "sent"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Notice is what happened, for those who want to know it. It holds neither names nor addresses.
type Notice struct {
	ID   string
	Kind Kind
	// OrderID is the order that a notice about a whole order is about. About is what another notice is about, which is
	// unique among its kind.
	OrderID, About string
	// ShopID is the shop whose owners get it.
	ShopID      string
	Items       []Item
	State       State
	Traceparent string
	CreatedAt   time.Time
	// Unasked reports that somebody else than the customer cancelled, so that the customer needs the mail.
	Unasked bool
	// DueAt is when the deliveries of a new notice are made.
	DueAt time.Time
}

// Target is a recipient of a notice, and a channel to reach it.
type Target struct {
	Channel Channel
	// Recipient is whose address is looked up: a user, a device, an order (the address typed at its checkout), an
	// invitation, or what a changed address is about (the former one).
	Recipient string
}

// Delivery is a message about a notice to one recipient on one channel.
type Delivery struct {
	ID     string
	Notice Notice
	Target
	State State
	// Preferences are those of the recipient.
	Preferences Preferences
	// CreatedAt is when the notice became due.
	CreatedAt time.Time
}

// MessageID returns the Message-ID of a mail. It is the same at every attempt, so that a second copy can be recognized.
func (d Delivery) MessageID() string {
	if d.Notice.OrderID != "" {
		return d.Notice.OrderID + "." + string(d.Notice.Kind) + "@souk"
	}
	return d.ID + "." + string(d.Notice.Kind) + "@souk"
}

// Recipient is where a mail goes.
type Recipient struct {
	Address *mail.Address
	// Own: the address is that of an account, and verified. Others were only typed in, maybe by a stranger.
	Own bool
	// Locale is the recipient's language.
	Locale string
}

// Digest identifies the mailbox, so that its mails can be counted without storing the address. Mails to a typed address
// do not count among those to an account, so that a stranger cannot use them up.
func (r Recipient) Digest() []byte {
	if r.Own {
		return mailbox.Digest("own", r.Address.Address)
	}
	return mailbox.Digest("typed", r.Address.Address)
}

// Mailbox names the mailbox as the owner of preferences. It does not show the address.
func (r Recipient) Mailbox() string { return "mbx_" + hex.EncodeToString(r.Digest()) }

// Message is a rendered delivery. Which fields are set depends on the channel.
type Message struct {
	// ID is the delivery's.
	ID string
	// ToName and To are the name and the bare address of a mail's recipient.
	ToName, To string
	Subject    string
	Text, HTML string
	MessageID  string
	Date       time.Time
	// Mailbox is the name of a mail's recipient on the suppression list.
	Mailbox []byte
	// Headers are further ones of a mail.
	Headers map[string]string
	// Body is the short form of the text, and Link the path of what it is about.
	Body, Link string
	Kind       Kind
	Channel    Channel
	// Device is where a push message goes. To is the telephone number of an SMS.
	Device Device
}

// Failure is why a notice or a delivery has not succeeded. The reason holds no names or addresses.
type Failure struct {
	Reason string
	// Permanent: a retry would fail, too.
	Permanent bool
	// Gone: the device does not exist any more. It is permanent.
	Gone bool
	// Bounced: the mailbox does not exist. It is permanent.
	Bounced bool
	// Skip: the notice or delivery is not needed any more.
	Skip bool
	// Wait is how long a delivery waits that is not allowed now. That is no attempt. 0: it is retried with a backoff.
	Wait time.Duration
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// Permanent returns a failure that is not retried.
func Permanent(reason string) error { return &Failure{Reason: reason, Permanent: true} }

// Skip returns a failure that ends what is not needed any more.
func Skip(reason string) error { return &Failure{Reason: reason, Skip: true} }

// Gone returns a failure that ends a device.
func Gone(reason string) error { return &Failure{Reason: reason, Permanent: true, Gone: true} }

// Bounced returns a failure that suppresses the mailbox of a mail.
func Bounced(reason string) error { return &Failure{Reason: reason, Permanent: true, Bounced: true} }

// Temporary returns a failure that is retried.
func Temporary(reason string) error { return &Failure{Reason: reason} }

// Wait returns a failure that is no attempt.
func Wait(reason string, d time.Duration) error { return &Failure{Reason: reason, Wait: d} }

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
	// LimitBackoff is how long a delivery waits if its recipient has got too many.
	LimitBackoff = 10 * time.Minute
)

// Backoff returns the delay after the given number of attempts: a second, doubled each time up to ten
// minutes.
func Backoff(attempts int) time.Duration {
	if attempts > 10 {
		return maxBackoff
	}
	return min(firstBackoff<<max(attempts-1, 0), maxBackoff)
}
