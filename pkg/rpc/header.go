package rpc

import (
	"context"
	"time"

	"souk/pkg/identity"
)

// Header is the metadata of a call.
type Header struct {
	// Token proves the caller's identity, see identity.Verifier. A call that has no token yet carries an Assertion,
	// which a transport between processes signs and sends as a token. Without either the caller is anonymous.
	Token     string
	Assertion *identity.Assertion
	// IdempotencyKey makes the call safe to repeat; "" means that it has no key.
	IdempotencyKey string
	// RequestID is the ID of the external request that the call belongs to.
	RequestID string
	// Address is where the person who calls is, for the audit trail; "" for guests.
	Address string
	// Traceparent and Tracestate are the W3C trace context.
	Traceparent, Tracestate string
	// Timeout is how long the caller waits; 0 means the method's default.
	Timeout time.Duration
}

type (
	outgoingKey struct{}
	callKey     struct{}
)

// Outgoing returns the header that NewClient's connection passes to the transport's connection through ctx.
func Outgoing(ctx context.Context) Header {
	if h, ok := ctx.Value(outgoingKey{}).(*Header); ok {
		return *h
	}
	return Header{}
}

// WithOutgoing returns a context that makes the transport's connection send the header h.
func WithOutgoing(ctx context.Context, h Header) context.Context {
	return context.WithValue(ctx, outgoingKey{}, &h)
}

// call is the state of a call that its context carries.
type call struct {
	requestID      string
	idempotencyKey string
	// incoming is set if the key came with the call that is being served.
	incoming bool
	// permission is the one that the contract of the served method names.
	permission string
	address    string
	trail      *trail
}

func callFrom(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// WithIdempotencyKey returns a context whose outgoing calls carry key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	c := callFrom(ctx)
	c.idempotencyKey, c.incoming = key, false
	return context.WithValue(ctx, callKey{}, c)
}

// IdempotencyKey returns the key of the call being served, or the key set with WithIdempotencyKey, or "".
// A received key is not passed on to outgoing calls: a handler's calls are different operations and need their
// own keys.
func IdempotencyKey(ctx context.Context) string { return callFrom(ctx).idempotencyKey }

// WithRequestID returns a context that carries the ID of the external request. Every outgoing call passes it on.
func WithRequestID(ctx context.Context, id string) context.Context {
	c := callFrom(ctx)
	c.requestID = id
	return context.WithValue(ctx, callKey{}, c)
}

// WithAddress returns a context whose outgoing calls say from which address the caller called.
func WithAddress(ctx context.Context, address string) context.Context {
	c := callFrom(ctx)
	c.address = address
	return context.WithValue(ctx, callKey{}, c)
}

// RequestID returns the ID of the external request that ctx belongs to, or "".
func RequestID(ctx context.Context) string { return callFrom(ctx).requestID }
