package domain

import (
	"crypto/sha256"
	"time"

	"souk/pkg/errs"
)

// The kinds of sagas that orders run.
const (
	CheckoutSaga = "checkout"
	CancelSaga   = "cancel"
	// CollectSaga takes in the cash of an order that was delivered.
	CollectSaga = "collect"
)

// Start is a saga that is to begin.
type Start struct {
	Type, ID string
	Input    any
}

// Attempt is what there is for an idempotency key.
type Attempt struct {
	OrderID     string
	RequestHash [sha256.Size]byte
	Status      Status
	// Refusal is why the checkout was refused; nil: it was not, or is under way.
	Refusal *Refusal
}

// Confirmation is what confirms an order.
type Confirmation struct {
	Payment Payment
	At      time.Time
}

// Cancellation is what ends an order.
type Cancellation struct {
	OrderID       string
	PaymentStatus string
	At            time.Time
}

// Refusal is why a checkout was refused, as its customer may see it.
type Refusal struct {
	Code    errs.Code    `json:"code"`
	Message string       `json:"message"`
	Fields  []errs.Field `json:"fields,omitempty"`
	// Fault says that the customer is not to blame: the idempotency key is free for another try.
	Fault bool `json:"-"`
}

// RefusalOf is what err, a refusal, says.
func RefusalOf(err error) Refusal {
	e := errs.From(err)
	return Refusal{Code: e.Code, Message: e.Message, Fields: e.Fields}
}

// Err is the refusal as an error.
func (r Refusal) Err() error {
	e := errs.New(r.Code, "%s", r.Message)
	e.Fields = r.Fields
	return e
}

// PaymentNews is what payment tells about an order.
type PaymentNews struct {
	OrderID, PaymentID, Status string
	// Version is the payment's.
	Version int64
	At      time.Time
}

// Position is where a page of a history ended.
type Position struct {
	At time.Time
	ID string
}
