package domain

import (
	"crypto/sha256"
	"time"

	"souk/pkg/errs"
)

// The types of the order service's sagas.
const (
	CheckoutSaga = "checkout"
	CancelSaga   = "cancel"
	// CollectSaga captures the cash of a delivered order.
	CollectSaga = "collect"
	// UndoLostSaga undoes what other services keep for an order that was lost.
	UndoLostSaga = "undo_lost"
)

// UndoLostVersion is the version of the saga that undoes lost orders.
const UndoLostVersion = 1

// LostOrder is the input of the saga that undoes a lost order.
type LostOrder struct {
	OrderID string `json:"order_id"`
}

// Start describes a saga to start. The zero Start starts no saga.
type Start struct {
	Type, ID string
	Input    any
}

// AdoptedKey is the idempotency key of a guest's order that a user has adopted.
func AdoptedKey(key, guestID string) string { return key + "@" + guestID }

// Attempt is the checkout that an idempotency key was used for.
type Attempt struct {
	OrderID     string
	CustomerID  string // whose order it is now
	RequestHash [sha256.Size]byte
	Status      Status
	// Refusal is why the checkout was refused; nil if it was confirmed or is in flight.
	Refusal *Refusal
}

// ClaimHolder is an order that holds a claim of a cart.
type ClaimHolder struct {
	OrderID string
	// CartOwnerID and CartVersion identify the cart that it ordered.
	CartOwnerID string
	CartVersion int64
	// Confirmed reports whether the order was ever confirmed.
	Confirmed bool
}

// Confirmation holds the values that confirming an order writes.
type Confirmation struct {
	Payment Payment
	At      time.Time
}

// Refusal is why a checkout was refused, as shown to its customer.
type Refusal struct {
	Code    errs.Code    `json:"code"`
	Message string       `json:"message"`
	Fields  []errs.Field `json:"fields,omitempty"`
	// Fault marks a fault of ours. It frees the idempotency key for another attempt.
	Fault bool `json:"-"`
}

// RefusalOf returns the refusal that err describes.
func RefusalOf(err error) Refusal {
	e := errs.From(err)
	return Refusal{Code: e.Code, Message: e.Message, Fields: e.Fields}
}

// Err returns the refusal as an error.
func (r Refusal) Err() error {
	e := errs.New(r.Code, "%s", r.Message)
	e.Fields = r.Fields
	return e
}

// PaymentUpdate is what a payment event says about an order's payment.
type PaymentUpdate struct {
	OrderID, PaymentID, Status string
	// Version is the payment's version.
	Version int64
	At      time.Time
}

// Position is the last row of a page; the next page begins after it. The page token holds it.
type Position struct {
	At time.Time `json:"t"`
	ID string    `json:"i"`
}

// Position returns the order's place in a list.
func (o Order) Position() Position { return Position{At: o.PlacedAt, ID: o.ID} }

// Position returns the shop order's place in a list.
func (o ShopOrder) Position() Position { return Position{At: o.PlacedAt, ID: o.ID} }
