package domain

import (
	"crypto/sha256"
	"slices"
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
	// Version is the payment's version that Status comes from; 0 if it comes from the checkout.
	Version int64
}

// The payment statuses and the payment method that the order's rules depend on. The payment service defines them.
const (
	PaymentPending           = "pending"
	PaymentAuthorized        = "authorized"
	PaymentCaptured          = "captured"
	PaymentPartiallyRefunded = "partially_refunded"
	PaymentFailed            = "failed"
	CashOnDelivery           = "cod"
)

// Item is an ordered line, as the variant was when the order was placed.
type Item struct {
	VariantID, ProductID, Title, SKU string
	Options                          map[string]string
	Quantity                         int64
	// LineTotal is before Discount, which is the sum of Discounts.
	UnitPrice, LineTotal, Discount money.Money
	Discounts                      []Discount
}

// ShopOrder is the part of an order that one shop fulfils.
type ShopOrder struct {
	ID, OrderID, ShopID, ShopName string
	Status                        Status
	Totals                        Totals
	// ShippingDiscounts are what vouchers took off the shipping; Totals is without it.
	ShippingDiscounts []Discount
	// Carrier and TrackingNumber may be empty: the shop delivers itself.
	Carrier, TrackingNumber string
	// CancelID is the ID of the saga that cancels or cancelled the shop order; "" if none does.
	CancelID string
	// CancelCode says who cancels the shop order: CancelledByCustomer and the like. CancelReason is what they wrote.
	CancelCode, CancelReason string
	// CancelledAt is zero until the shop order is cancelled. It stays zero if its checkout was refused.
	CancelledAt time.Time
	PlacedAt    time.Time
	// ShippedAt and DeliveredAt are zero until the shop order is shipped and delivered.
	ShippedAt, DeliveredAt time.Time
	Items                  []Item
	// These are set by ForShop, for a shop order that is shown without its order.
	OrderNumber string
	Payment     Payment
	ExpiresAt   time.Time
	// Address and Buyer are unset until the order is confirmed.
	Address Address
	Buyer   Buyer
}

// Buyer is how a shop reaches a customer.
type Buyer struct {
	CustomerID, Name, Phone string
	// Email is "" if the customer gave none at the checkout.
	Email string
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
	// CartOwnerID and CartVersion identify the cart that was ordered. An adopted order keeps them.
	CartOwnerID string
	CartVersion int64
	// CancelID is the ID of the saga with which the previous release cancels the whole order; otherwise "".
	CancelID string
	// CancelCode and CancelReason say why the checkout was refused. The code is an error code.
	CancelCode, CancelReason string
	// CustomerCancelledAt is when the customer last cancelled some of the order; zero if never.
	CustomerCancelledAt time.Time
	// ExpiresAt is when what is not shipped is cancelled, because the order waits for its money. It is zero if the
	// order does not wait.
	ExpiresAt           time.Time
	Version             int64
	PlacedAt, UpdatedAt time.Time
	// ConfirmedAt is zero until the order is confirmed. Cancelling does not reset it.
	ConfirmedAt time.Time
	Parts       []ShopOrder
	// Private is Email and Address as they are stored: encrypted.
	Private []byte
	// Vouchers are those that the checkout redeems. They are not stored with the order.
	Vouchers []VoucherUse
}

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
	case o.cancelling(p):
		return false, errs.New(errs.Conflict, "the shop order is being cancelled")
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
// is delivered or cancelled, and the payment is not captured yet.
func (o *Order) CashCollected() bool {
	return o.Payment.Method == CashOnDelivery && o.Status == Delivered && o.Payment.Status == PaymentAuthorized
}

// paid reports whether shop orders may be shipped: the payment is captured, or it is cash on delivery. Some of it was
// refunded if other shop orders were cancelled.
func (o *Order) paid() bool {
	return o.Payment.Status == PaymentCaptured || o.Payment.Status == PaymentPartiallyRefunded ||
		o.Payment.Method == CashOnDelivery && o.Payment.Status == PaymentAuthorized
}

// ForShop returns a shop order with what its shop needs of the order. The customer stays unknown until the order is
// confirmed.
func (o *Order) ForShop(partID string) ShopOrder {
	p := *o.part(partID)
	p.OrderNumber, p.Payment, p.ExpiresAt = o.Number, o.Payment, o.ExpiresAt
	if !o.ConfirmedAt.IsZero() {
		p.Address = o.Address
		p.Buyer = Buyer{CustomerID: o.CustomerID, Name: o.Address.Name, Phone: o.Address.Phone, Email: o.Email}
	}
	return p
}

// Remaining is what the order costs without its cancelled shop orders.
func (o *Order) Remaining() money.Money {
	left := int64(0)
	for _, p := range o.Parts {
		if p.Status != Cancelled {
			left += p.Totals.Total.Minor()
		}
	}
	return money.New(left, o.Totals.Total.Currency())
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
	if !slices.Contains(statuses, Confirmed) {
		o.ExpiresAt = time.Time{} // nothing is left to expire
	}
	o.touch(at)
}

func (o *Order) touch(at time.Time) {
	o.UpdatedAt = at
	o.Version++
}
