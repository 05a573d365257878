package domain

import (
	"crypto/sha256"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Totals are the amounts of an order or a shop order. Total is Subtotal - Discount + Shipping + Tax.
type Totals struct {
	Subtotal, Discount, Shipping, Tax, Total money.Money
}

// Payment is an order's copy of its payment's state.
type Payment struct {
	// ID is "" until the payment is authorized.
	ID     string
	Status string
	Method string
}

// The payment statuses and the payment method that the order's rules depend on. The payment service defines them.
const (
	PaymentPending    = "pending"
	PaymentAuthorized = "authorized"
	PaymentCaptured   = "captured"
	PaymentFailed     = "failed"
	CashOnDelivery    = "cod"
)

// Item is an ordered line, as the variant was when the order was placed.
type Item struct {
	VariantID, ProductID, Title, SKU string
	Options                          map[string]string
	Quantity                         int64
	UnitPrice, LineTotal             money.Money
}

// ShopOrder is the part of an order that one shop fulfils.
type ShopOrder struct {
	ID, OrderID, ShopID, ShopName string
	Status                        Status
	Totals                        Totals
	Carrier, TrackingNumber       string
	PlacedAt                      time.Time
	// ShippedAt and DeliveredAt are zero until the shop order is shipped and delivered.
	ShippedAt, DeliveredAt time.Time
	Items                  []Item
	// Address is set if the shop order is returned on its own, without its order.
	Address Address
}

// Order is one checkout of one customer.
type Order struct {
	ID, Number, CustomerID string
	// IdemKey and RequestHash distinguish a retry from another request.
	IdemKey     string
	RequestHash [sha256.Size]byte
	Status      Status
	Totals      Totals
	Payment     Payment
	Email       string
	Address     Address
	// CancelID is the ID of the saga that cancels the order; "" if the order is not being cancelled.
	CancelID string
	// CancelCode and CancelReason say why the order was cancelled. The code is the error code of a refused
	// checkout, or CancelledByCustomer.
	CancelCode, CancelReason string
	Version                  int64
	PlacedAt, UpdatedAt      time.Time
	// ConfirmedAt is zero until the order is confirmed. Cancelling does not reset it.
	ConfirmedAt time.Time
	Parts       []ShopOrder
}

// CancelledByCustomer is the cancel code of an order that its customer cancelled.
const CancelledByCustomer = "customer"

// Confirm makes o confirmed, with payment p.
//
// Errors: conflict (o is not pending).
func (o *Order) Confirm(p Payment, at time.Time) error {
	if !o.Status.CanBecome(Confirmed) {
		return errs.New(errs.Conflict, "the order is %s", o.Status)
	}
	o.Status, o.Payment, o.ConfirmedAt = Confirmed, p, at
	for i := range o.Parts {
		o.Parts[i].Status = Confirmed
	}
	o.touch(at)
	return nil
}

// MayCancel returns nil if o can be cancelled. done reports whether it already is cancelled or being cancelled.
//
// Errors: conflict (the checkout still runs, or a shop order was shipped).
func (o *Order) MayCancel() (done bool, err error) {
	switch {
	case o.Status == Cancelled || o.CancelID != "":
		return true, nil
	case o.Status == Pending:
		return false, errs.New(errs.Conflict, "the checkout of this order is still running; try again in a moment").
			WithRetryAfter(time.Second)
	}
	for _, p := range o.Parts {
		if p.Status != Confirmed {
			return false, errs.New(errs.Conflict, "the order can no longer be cancelled: a part of it was shipped")
		}
	}
	return false, nil
}

// BeginCancel marks o as being cancelled by the saga. From then on no shop order can be shipped.
func (o *Order) BeginCancel(sagaID, reason string, at time.Time) {
	o.CancelID, o.CancelCode, o.CancelReason = sagaID, CancelledByCustomer, reason
	o.touch(at)
}

// DropCancel undoes BeginCancel. It does nothing if another saga cancels o, or if o is cancelled.
func (o *Order) DropCancel(sagaID string, at time.Time) {
	if o.CancelID == sagaID && o.Status != Cancelled {
		o.CancelID, o.CancelCode, o.CancelReason = "", "", ""
		o.touch(at)
	}
}

// Ship marks a shop order as shipped. changed is false if it already was, with the same carrier and tracking
// number.
//
// Errors: not_found, conflict (the order is pending, unpaid or being cancelled, or the shop order's status does not
// allow it).
func (o *Order) Ship(partID, carrier, tracking string, at time.Time) (changed bool, err error) {
	p := o.part(partID)
	switch {
	case p == nil:
		return false, errs.New(errs.NotFound, "there is no such shop order")
	case p.Status == Shipped && p.Carrier == carrier && p.TrackingNumber == tracking:
		return false, nil
	case o.CancelID != "":
		return false, errs.New(errs.Conflict, "the order is being cancelled")
	case !p.Status.CanBecome(Shipped):
		return false, errs.New(errs.Conflict, "the shop order is %s: it cannot be shipped", p.Status)
	case !o.paid():
		return false, errs.New(errs.Conflict, "the payment is still being collected; try again in a moment").
			WithRetryAfter(time.Second)
	}
	p.Status, p.Carrier, p.TrackingNumber, p.ShippedAt = Shipped, carrier, tracking, at
	o.derive(at)
	return true, nil
}

// Deliver marks a shipped shop order as delivered. changed is false if it already was.
//
// Errors: not_found, conflict (the shop order is not shipped).
func (o *Order) Deliver(partID string, at time.Time) (changed bool, err error) {
	p := o.part(partID)
	switch {
	case p == nil:
		return false, errs.New(errs.NotFound, "there is no such shop order")
	case p.Status == Delivered:
		return false, nil
	case !p.Status.CanBecome(Delivered):
		return false, errs.New(errs.Conflict, "the shop order is %s: it cannot be delivered", p.Status)
	}
	p.Status, p.DeliveredAt = Delivered, at
	o.derive(at)
	return true, nil
}

// CashCollected reports whether the customer has now paid in cash: every shop order of a cash-on-delivery order
// is delivered, and the payment is not captured yet.
func (o *Order) CashCollected() bool {
	return o.Payment.Method == CashOnDelivery && o.Status == Delivered && o.Payment.Status == PaymentAuthorized
}

// paid reports whether shop orders may be shipped: the payment is captured, or it is cash on delivery.
func (o *Order) paid() bool {
	return o.Payment.Status == PaymentCaptured ||
		o.Payment.Method == CashOnDelivery && o.Payment.Status == PaymentAuthorized
}

// Part returns the shop order with the ID, or nil.
func (o *Order) Part(partID string) *ShopOrder { return o.part(partID) }

func (o *Order) part(partID string) *ShopOrder {
	for i := range o.Parts {
		if o.Parts[i].ID == partID {
			return &o.Parts[i]
		}
	}
	return nil
}

func (o *Order) derive(at time.Time) {
	statuses := make([]Status, len(o.Parts))
	for i, p := range o.Parts {
		statuses[i] = p.Status
	}
	o.Status = Derive(statuses)
	o.touch(at)
}

func (o *Order) touch(at time.Time) {
	o.UpdatedAt = at
	o.Version++
}
