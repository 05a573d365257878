// Package errs holds souk's one error type: a stable code that clients act on, and a message that is safe to show.
//
// An error gets its code where it arises; on the way up it is wrapped with %w. An error without a
// code is internal: it is logged once, at the edge, and nothing of it is shown.
package errs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is what went wrong, for programs. Codes are part of the public API and never change.
type Code string

// The codes of souk.
const (
	Invalid             Code = "invalid_argument"      // 400: a field is wrong or missing
	Unauthenticated     Code = "unauthenticated"       // 401
	PaymentDeclined     Code = "payment_declined"      // 402
	Forbidden           Code = "forbidden"             // 403
	NotFound            Code = "not_found"             // 404: also somebody else's thing
	Conflict            Code = "conflict"              // 409: the thing changed meanwhile, or is in the wrong state
	AlreadyExists       Code = "already_exists"        // 409
	OutOfStock          Code = "out_of_stock"          // 409
	IdempotencyInFlight Code = "idempotency_in_flight" // 409
	TooLarge            Code = "too_large"             // 413
	IdempotencyMismatch Code = "idempotency_mismatch"  // 422
	VoucherInvalid      Code = "voucher_invalid"       // 422
	CartEmpty           Code = "cart_empty"            // 422
	CardNumberRefused   Code = "card_number_refused"   // 422: a raw card number was sent
	Unprocessable       Code = "unprocessable"         // 422: well-formed, but against a rule
	RateLimited         Code = "rate_limited"          // 429, with Retry-After
	Internal            Code = "internal"              // 500: a bug, or something that nobody foresaw
	Unimplemented       Code = "unimplemented"         // 501: no such method
	Overloaded          Code = "overloaded"            // 503, with Retry-After: too much at once, nothing was done
	Unavailable         Code = "unavailable"           // 503, with Retry-After
	Timeout             Code = "timeout"               // unknown whether it was done; REST shows it as unavailable
)

// Field is one field of a request that is wrong.
type Field struct {
	// Path is the field's JSON path, e.g. "shippingAddress.countryCode".
	Path string
	// Message says what is expected.
	Message string
}

// Error is an error with a code.
type Error struct {
	Code    Code
	Message string
	// Fields are the violations behind Invalid.
	Fields []Field
	// RetryAfter is when to try again; 0: not known.
	RetryAfter time.Duration

	cause error
}

// Error returns the message, and the cause for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// New makes an error with a message that is safe to show.
func New(code Code, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Code: code, Message: format}
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives cause a code and a message that is safe to show. The cause is for logs alone.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	e := New(code, format, args...)
	e.cause = cause
	return e
}

// InvalidField makes an Invalid error about one field.
func InvalidField(path, format string, args ...any) *Error {
	f := Field{Path: path, Message: fmt.Sprintf(format, args...)}
	return &Error{Code: Invalid, Message: path + ": " + f.Message, Fields: []Field{f}}
}

// WithRetryAfter returns a copy of e that says when to try again.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// From returns err as an *Error. Nil stays nil; the end of a context becomes Timeout;
// anything else without a code becomes Internal with a message that tells nothing.
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

// CodeOf returns err's code; "" for nil.
func CodeOf(err error) Code {
	if e := From(err); e != nil {
		return e.Code
	}
	return ""
}

// Is reports whether err has the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Unknown reports whether it is open if what failed was done or not, so that the same call may
// be sent again: the outcome of a refusal is known, that of a timeout is not.
func Unknown(err error) bool {
	switch CodeOf(err) {
	case Unavailable, Timeout, Internal, Overloaded, RateLimited:
		return true
	default:
		return false
	}
}
