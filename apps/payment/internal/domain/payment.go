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

// Reasons of a payment that failed.
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
	// Captured, Refunded and RefundClaimed (refunded or about to be) are minor units of Amount's currency.
	Captured, Refunded, RefundClaimed int64
	// Provider moves the money; "": nobody does (cash, tombstones).
	Provider, ProviderRef string
	RequestHash           [sha256.Size]byte
	FailureReason         string
	// VoidRequested: a void is under way; nothing may be captured any more.
	VoidRequested        bool
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Request is what an order asks for.
type Request struct {
	OrderID, CustomerID string
	Amount              money.Money
	Method              Method
	Token               string
}

// Hash names the request, so that a second one for the same order can be told apart. The token is in it, but cannot be read from it.
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

// New makes the payment of a request. Cash needs nobody's consent: it is authorized from the start.
// It fails with errs.Invalid for an amount that is not positive, cash with a token, and anything else without one.
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

// Tombstone makes the payment that a void leaves which came before its authorization.
func Tombstone(orderID string, at time.Time) Payment {
	return Payment{ID: id.New(id.Payment), OrderID: orderID, Status: Voided, VoidRequested: true, Version: 1, CreatedAt: at, UpdatedAt: at}
}

// IsTombstone reports whether p stands for a payment that never was.
func (p Payment) IsTombstone() bool { return p.Status == Voided && p.Amount == money.Money{} }

// CapturedAmount is what was captured, whether or not it went back since.
func (p Payment) CapturedAmount() money.Money { return money.New(p.Captured, p.Amount.Currency()) }

// RefundedAmount is what went back so far.
func (p Payment) RefundedAmount() money.Money { return money.New(p.Refunded, p.Amount.Currency()) }

// Authorization is the answer that p stands for: nil when it is authorized or more, payment_declined
// when it failed, conflict when it was given up, unavailable while it is open.
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

// Unanswered is the error of what needs an authorization that is still open: unavailable.
func Unanswered() *errs.Error {
	return errs.New(errs.Unavailable, "the payment provider has not answered yet").WithRetryAfter(time.Second)
}

// CanCapture says why p cannot be captured; nil when it can, or is captured already. Of a pending payment the provider
// knows more than we do: it may be authorized there.
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
