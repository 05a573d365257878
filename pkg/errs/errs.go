// Package errs defines souk's error type: a stable code for clients to act on, and a message that is safe to show.
//
// An error gets its code where it arises, and is wrapped with %w on the way up. An error without a code is internal:
// it is logged once, at the edge, and its text is not shown.
package errs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// Code classifies an error for programs. Codes are part of the public API and never change.
type Code string

// The codes of souk.
const (
	Invalid             Code = "invalid_argument"      // 400: a field is wrong or missing
	Unauthenticated     Code = "unauthenticated"       // 401
	SignInAgain         Code = "sign_in_again"         // 401: the last sign-in is too long ago for this
	PaymentDeclined     Code = "payment_declined"      // 402
	Forbidden           Code = "forbidden"             // 403
	RequestRefused      Code = "request_refused"       // 403: the firewall takes it for an attack
	AccountSuspended    Code = "account_suspended"     // 403: an operator has suspended the user
	ApprovalRequired    Code = "approval_required"     // 403: another operator must approve the call first
	NotFound            Code = "not_found"             // 404: also for resources of another user
	Conflict            Code = "conflict"              // 409: a concurrent change, or the wrong state for this
	AlreadyExists       Code = "already_exists"        // 409
	OutOfStock          Code = "out_of_stock"          // 409
	CheckoutInProgress  Code = "checkout_in_progress"  // 409: another checkout of the same cart; try again
	PriceChanged        Code = "price_changed"         // 409: the total is not the expected one
	IdempotencyInFlight Code = "idempotency_in_flight" // 409
	PreconditionFailed  Code = "precondition_failed"   // 412: the resource has changed since If-Match's ETag
	TooLarge            Code = "too_large"             // 413
	IdempotencyMismatch Code = "idempotency_mismatch"  // 422
	VoucherInvalid      Code = "voucher_invalid"       // 422
	CartEmpty           Code = "cart_empty"            // 422
	CardNumberRefused   Code = "card_number_refused"   // 422: a raw card number was sent
	Unprocessable       Code = "unprocessable"         // 422: well-formed, but violates a rule
	RateLimited         Code = "rate_limited"          // 429, with Retry-After
	LockedOut           Code = "locked_out"            // 429, with Retry-After: too many failed sign-ins or wrong tokens
	Internal            Code = "internal"              // 500: a bug or an unexpected failure
	Unimplemented       Code = "unimplemented"         // 501: no such method
	Overloaded          Code = "overloaded"            // 503, with Retry-After: refused because of load, without effect
	Unavailable         Code = "unavailable"           // 503, with Retry-After
	Timeout             Code = "timeout"               // the outcome is unknown; REST shows it as unavailable
)

// Field describes one invalid field of a request.
type Field struct {
	// Path is the field's JSON path, e.g. "shippingAddress.countryCode".
	Path string
	// Message says what is expected.
	Message string
	// Reason says what is wrong, for programs; "" if the error's code says enough.
	Reason string `json:",omitempty"`
}

// Error is a coded error.
type Error struct {
	Code    Code
	Message string
	// Fields are the invalid fields of an Invalid error.
	Fields []Field
	// Detail is shown with the error, or nil. The REST API shows it under the name of its type: a Quote as "quote".
	Detail proto.Message
	// RetryAfter is how long to wait before a retry; 0 means unknown.
	RetryAfter time.Duration

	cause error
}

// Error returns the code, the message and the cause. It is meant for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// New returns an error. The message must be safe to show.
func New(code Code, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Code: code, Message: format}
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error that wraps cause. The message must be safe to show; the cause is only logged.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	e := New(code, format, args...)
	e.cause = cause
	return e
}

// InvalidField returns an Invalid error about one field.
func InvalidField(path, format string, args ...any) *Error {
	f := Field{Path: path, Message: fmt.Sprintf(format, args...)}
	return &Error{Code: Invalid, Message: path + ": " + f.Message, Fields: []Field{f}}
}

// WithRetryAfter returns a copy of e with the given RetryAfter.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// From returns err as an *Error. It returns nil for nil. The end of a context becomes Timeout; any other error without
// a code becomes Internal with a generic message.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Wrap(err, Timeout, "the request took too long or was given up")
	}
	return Wrap(err, Internal, "something went wrong on our side")
}

// CodeOf returns err's code, or "" for nil.
func CodeOf(err error) Code {
	if e := From(err); e != nil {
		return e.Code
	}
	return ""
}

// Is reports whether err has the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// OutcomeUnknown reports whether the failed operation may have taken effect. The caller may then repeat the same
// operation. The outcome of a refusal is known; that of a timeout is not.
func OutcomeUnknown(err error) bool {
	switch CodeOf(err) {
	case Unavailable, Timeout, Internal, Overloaded, RateLimited:
		return true
	default:
		return false
	}
}
