package domain

import (
	"crypto/sha256"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Totals is what something costs: Total is Subtotal - Discount + Shipping + Tax.
type Totals struct {
	Subtotal, Discount, Shipping, Tax, Total money.Money
}

// Payment is what an order knows of its payment.
type Payment struct {
	// ID is "" until the payment is authorized.
	ID     string
	Status string
	Method string
}

// Payment statuses and the method that the order's own rules look at. Payment has them from its service.
const (
	PaymentPending    = "pending"
	PaymentAuthorized = "authorized"
	PaymentCaptured   = "captured"
	PaymentFailed     = "failed"
	CashOnDelivery    = "cod"
)

// Item is a line as it was when it was ordered.
type Item struct {
	VariantID, ProductID, Title, SKU string
	Options                          map[string]string
	Quantity                         int64
	UnitPrice, LineTotal             money.Money
}

// ShopOrder is one shop's part of an order.
type ShopOrder struct {
	ID, OrderID, ShopID, ShopName string
	Status                        Status
	Totals                        Totals
	Carrier, TrackingNumber       string
	PlacedAt                      time.Time
	// ShippedAt and DeliveredAt are zero until then.
	ShippedAt, DeliveredAt time.Time
	Items                  []Item
	// Address is set where a shop reads its part alone.
	Address Address
}

// Order is one checkout of one customer.
type Order struct {
	ID, Number, CustomerID string
	// IdemKey and RequestHash tell a retry from another request.
	IdemKey     string
	RequestHash [sha256.Size]byte
	Status      Status
	Totals      Totals
	Payment     Payment
	Email       string
	Address     Address
	// CancelID is the saga that cancels the order; "": none does.
	CancelID string
	// CancelCode and CancelReason say why the order was cancelled: the error of a refused checkout, or CancelledByCustomer.
	CancelCode, CancelReason string
	Version                  int64
	PlacedAt, UpdatedAt      time.Time
	// ConfirmedAt is zero until the order is confirmed, and stays when it is cancelled.
	ConfirmedAt time.Time
	Parts       []ShopOrder
}

// CancelledByCustomer is the cancel code of an order that its customer cancelled.
const CancelledByCustomer = "customer"

// Confirm makes o a confirmed order with its payment. It fails with errs.Conflict unless o is pending.
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

// MayCancel says whether o can be cancelled: done reports that it is, or is being, cancelled already.
// It fails with errs.Conflict while the checkout runs, and once a part was shipped.
func (o *Order) MayCancel() (done bool, err error) {
	switch {
	case o.Status == Cancelled || o.CancelID != "":
		return true, nil
	case o.Status == Pending:
		return false, errs.New(errs.Conflict, "the checkout of this order is still running; try again in a moment").WithRetryAfter(time.Second)
	}
	for _, p := range o.Parts {
		if p.Status != Confirmed {
			return false, errs.New(errs.Conflict, "the order can no longer be cancelled: a part of it was shipped")
		}
	}
	return false, nil
}

// BeginCancel marks o as being cancelled by the saga. From here on no part can be shipped.
func (o *Order) BeginCancel(sagaID, reason string, at time.Time) {
	o.CancelID, o.CancelCode, o.CancelReason = sagaID, CancelledByCustomer, reason
	o.touch(at)
}

// DropCancel takes BeginCancel back, if it is still that saga's.
func (o *Order) DropCancel(sagaID string, at time.Time) {
	if o.CancelID == sagaID && o.Status != Cancelled {
		o.CancelID, o.CancelCode, o.CancelReason = "", "", ""
		o.touch(at)
	}
}

// Ship marks a part as on its way; changed is false when it was already, with the same carrier and number.
// It fails with errs.Conflict while the order is pending, being cancelled or not paid for, or the part is past it.
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
		return false, errs.New(errs.Conflict, "the payment is still being collected; try again in a moment").WithRetryAfter(time.Second)
	}
	p.Status, p.Carrier, p.TrackingNumber, p.ShippedAt = Shipped, carrier, tracking, at
	o.derive(at)
	return true, nil
}

// Deliver marks a shipped part as arrived; changed is false when it was already. It fails with errs.Conflict
// when the part was not shipped.
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

// DueAtTheDoor reports whether the customer has now paid in cash: all parts have arrived.
func (o *Order) DueAtTheDoor() bool {
	return o.Payment.Method == CashOnDelivery && o.Status == Delivered && o.Payment.Status == PaymentAuthorized
}

// paid reports whether parts may leave: the money is ours, or is collected at the door.
func (o *Order) paid() bool {
	return o.Payment.Status == PaymentCaptured || o.Payment.Method == CashOnDelivery && o.Payment.Status == PaymentAuthorized
}

// Part returns the part with the ID; nil when there is none.
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
