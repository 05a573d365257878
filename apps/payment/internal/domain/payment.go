package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
)

// Method is how a customer pays.
type Method string

// The methods of payment. All but CashOnDelivery go through a provider.
const (
	Card           Method = "card"
	Wallet         Method = "wallet"
	BankTransfer   Method = "bank_transfer"
	CashOnDelivery Method = "cod"
)

// ByProvider reports whether a provider moves the money.
func (m Method) ByProvider() bool { return m != CashOnDelivery }

// Reasons for which a payment fails.
const (
	ReasonDeclined          = "declined"
	ReasonInsufficientFunds = "insufficient_funds"
	ReasonInvalidToken      = "invalid_token"
)

// Payment is the money side of one order.
type Payment struct {
	ID, OrderID, CustomerID string
	Status                  Status
	Method                  Method
	Amount                  money.Money
	// Captured, Refunded and RefundClaimed (refunded or requested) are minor units of Amount's currency.
	Captured, Refunded, RefundClaimed int64
	// Waived is minor units that are not collected any more; only cash has them.
	Waived int64
	// Provider moves the money; empty for cash and tombstones, which use no provider.
	Provider, ProviderRef string
	RequestHash           [sha256.Size]byte
	FailureReason         string
	// VoidRequested is set before the provider is asked to void; from then on nothing may be captured.
	VoidRequested        bool
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Request is an order's request for a payment.
type Request struct {
	OrderID, CustomerID string
	Amount              money.Money
	Method              Method
	Token               string
}

// Hash identifies the request, so that a different request for the same order is recognized. It covers the
// token, which cannot be read from it.
func (r Request) Hash() [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []string{r.OrderID, r.CustomerID, r.Amount.String(), string(r.Method), r.Token} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// New makes the payment of a request. Cash needs no provider's consent: it is authorized from the start.
//
// Errors: invalid_argument (the amount is not positive, cash has a token, another method has none).
func New(r Request, provider string, at time.Time) (Payment, error) {
	switch {
	case r.Amount.Minor() <= 0:
		return Payment{}, errs.InvalidField("amount", "must be more than zero")
	case r.Method.ByProvider() && r.Token == "":
		return Payment{}, errs.InvalidField("payment.token", "is required for the method %s", r.Method)
	case !r.Method.ByProvider() && r.Token != "":
		return Payment{}, errs.InvalidField("payment.token", "must be empty for the method %s", r.Method)
	}
	p := Payment{
		ID: id.New(id.Payment), OrderID: r.OrderID, CustomerID: r.CustomerID, Status: Pending, Method: r.Method,
		Amount: r.Amount, Provider: provider, RequestHash: r.Hash(), Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	if !r.Method.ByProvider() {
		p.Provider, p.Status = "", Authorized
	}
	return p, nil
}

// Tombstone makes the payment that records a void which came before its authorization.
func Tombstone(orderID string, at time.Time) Payment {
	return Payment{
		ID:            id.New(id.Payment),
		OrderID:       orderID,
		Status:        Voided,
		VoidRequested: true,
		Version:       1,
		CreatedAt:     at,
		UpdatedAt:     at,
	}
}

// IsTombstone reports whether p only refuses a late authorization and never was a payment.
func (p Payment) IsTombstone() bool { return p.Status == Voided && p.Amount == money.Money{} }

// CapturedAmount is the amount captured, including what was refunded since.
func (p Payment) CapturedAmount() money.Money { return money.New(p.Captured, p.Amount.Currency()) }

// WaivedAmount is the amount that is not collected any more.
func (p Payment) WaivedAmount() money.Money { return money.New(p.Waived, p.Amount.Currency()) }

// RefundedAmount is the amount refunded so far.
func (p Payment) RefundedAmount() money.Money { return money.New(p.Refunded, p.Amount.Currency()) }

// Authorization returns the answer that p gives to Authorize; nil if p is authorized or captured.
//
// Errors: payment_declined (it failed), conflict (it was voided), unavailable (its outcome is open).
func (p Payment) Authorization() error {
	switch {
	case p.Status.HasCapture():
		return nil
	case p.Status == Failed:
		return Declined(p.FailureReason)
	case p.Status == Voided || p.VoidRequested:
		return errs.New(errs.Conflict, "the payment was given up")
	case p.Status == Authorized:
		return nil
	default:
		return Unanswered()
	}
}

// Unanswered is the error of an operation that needs an authorization whose outcome is still open.
func Unanswered() *errs.Error {
	return errs.New(errs.Unavailable, "the payment provider has not answered yet").WithRetryAfter(time.Second)
}

// CanCapture returns nil if p can be captured or is captured already. A pending payment can be captured: it
// may be authorized at its provider.
//
// Errors: conflict (it was voided), payment_declined.
func (p Payment) CanCapture() error {
	switch {
	case p.Status.HasCapture():
		return nil
	case p.VoidRequested || p.Status == Voided:
		return errs.New(errs.Conflict, "the payment was given up")
	case p.Status == Failed:
		return Declined(p.FailureReason)
	default:
		return nil
	}
}

// Declined is the error that customers see when a payment failed.
func Declined(reason string) *errs.Error {
	switch reason {
	case ReasonInsufficientFunds:
		return errs.New(errs.PaymentDeclined, "the payment was declined: insufficient funds")
	case ReasonInvalidToken:
		return errs.New(errs.PaymentDeclined, "the payment was declined: the payment token is not valid")
	default:
		return errs.New(errs.PaymentDeclined, "the payment was declined")
	}
}
