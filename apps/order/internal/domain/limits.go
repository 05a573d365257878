package domain

import (
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/mailbox"
	"souk/pkg/money"
)

// Limits bound what customers may keep without paying for it.
type Limits struct {
	// MaxUnpaid is the most orders of a customer that are paid for in cash and not delivered; 0 means no bound. Other
	// orders need none: a customer's cart has one checkout in flight at a time.
	MaxUnpaid int
	// ExpireAfter is how long a new order with cash on delivery waits for its money; 0 means for ever.
	ExpireAfter time.Duration
	// FreeCancels is how many orders a customer may cancel in CancelPeriod without having to wait.
	FreeCancels int
	// CancelWait is how long a customer waits after the first order cancelled beyond FreeCancels. It doubles with each
	// further one, up to CancelPeriod. 0 means no wait.
	CancelWait time.Duration
	Cash       CashLimits
}

// CashLimits are the limits of one cash-on-delivery order.
type CashLimits struct {
	// Guests reports whether guests may order.
	Guests bool
	// MaxPieces is the most pieces; 0 means no bound.
	MaxPieces int64
	// MaxTotal is the highest total, by currency; 0 means no bound. Orders in other currencies are refused.
	MaxTotal map[money.Currency]money.Money
}

// StandingPeriod is the age at which an order no longer counts in a customer's standing. CancelPeriod is for how long a
// cancellation counts.
const (
	StandingPeriod = 30 * 24 * time.Hour
	CancelPeriod   = 24 * time.Hour
)

// Standing is what a customer keeps without having paid for it, and how often the customer cancelled.
type Standing struct {
	// Unpaid is the number of cash-on-delivery orders that are not delivered.
	Unpaid int
	// Cancelled is the number of orders that the customer cancelled within CancelPeriod, wholly or in part; or, if
	// there are more, of those that guests with the same mailbox did.
	Cancelled int
	// LastCancelled is when the customer last cancelled; zero if never.
	LastCancelled time.Time
}

// Check returns an error if the limits don't allow a customer with the standing to place the order now.
//
// Errors: rate_limited (with the time to wait), conflict (too many orders are not paid for).
func (l Limits) Check(o Order, s Standing, now time.Time) error {
	if wait := l.cancelWait(s.Cancelled); wait > 0 && s.LastCancelled.Add(wait).After(now) {
		return errs.New(errs.RateLimited,
			"%d orders were cancelled in the last 24 hours; the next one can be placed later", s.Cancelled).
			WithRetryAfter(s.LastCancelled.Add(wait).Sub(now))
	}
	if l.MaxUnpaid > 0 && o.Payment.Method == CashOnDelivery && s.Unpaid >= l.MaxUnpaid {
		return errs.New(
			errs.Conflict,
			"%d orders wait for their money: the next one in cash can be placed when one of them is delivered",
			s.Unpaid,
		)
	}
	return nil
}

// cancelWait returns how long a customer waits after the last of so many cancelled orders.
func (l Limits) cancelWait(cancelled int) time.Duration {
	over := cancelled - l.FreeCancels
	if over <= 0 {
		return 0
	}
	wait := l.CancelWait
	for range over - 1 {
		if wait *= 2; wait >= CancelPeriod {
			return CancelPeriod
		}
	}
	return wait
}

// Check returns an error if an order with cash on delivery is outside of the limits. Other orders have none.
//
// Errors: unprocessable.
func (l CashLimits) Check(o Order, guest bool) error {
	if o.Payment.Method != CashOnDelivery {
		return nil
	}
	if guest && !l.Guests {
		return unprocessable("payment.method", "cash on delivery needs a signed-in customer")
	}
	pieces := int64(0)
	for _, p := range o.Parts {
		for _, it := range p.Items {
			pieces += it.Quantity
		}
	}
	total := o.Totals.Total
	most, listed := l.MaxTotal[total.Currency()]
	switch {
	case !listed:
		return unprocessable("payment.method", "cash on delivery is not possible in %s", total.Currency())
	case l.MaxPieces > 0 && pieces > l.MaxPieces:
		return unprocessable(
			"payment.method",
			"cash on delivery is for at most %d pieces, the cart has %d",
			l.MaxPieces,
			pieces,
		)
	case !most.IsZero() && total.Minor() > most.Minor():
		return unprocessable("payment.method", "cash on delivery is for at most %s, the order costs %s", most, total)
	}
	return nil
}

// OfGuest reports whether a guest placed the order, and no user has adopted it.
func (o *Order) OfGuest() bool { return strings.HasPrefix(o.CustomerID, string(id.Guest)+"_") }

// Mailbox identifies the mailbox of a guest's order. It is empty for a user's.
func (o Order) Mailbox() []byte {
	if !o.OfGuest() || o.Email == "" {
		return []byte{}
	}
	return mailbox.Digest("guest", o.Email)
}
