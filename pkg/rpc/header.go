package rpc

import (
	"context"
	"time"

	"souk/pkg/cohort"
	"souk/pkg/identity"
)

// Header is what travels beside a request.
type Header struct {
	// Token proves who calls, see identity.Verifier. Word says it where there is no token yet: a transport that leaves the
	// process sends the word's token. Without either the caller is anonymous.
	Token string
	Word  *identity.Word
	// IdempotencyKey makes the call one that may be sent again; "" when there is none.
	IdempotencyKey string
	// RequestID names the request from outside that the call belongs to.
	RequestID string
	// Traceparent and Tracestate are the W3C trace context.
	Traceparent, Tracestate string
	// Timeout is how long the caller waits; 0: the method's default.
	Timeout time.Duration
	// Cohort is what the call goes together with; the zero Hint when that is nothing.
	Cohort cohort.Hint
}

type (
	outgoingKey struct{}
	callKey     struct{}
)

// Outgoing returns the header that NewClient's connection hands to a transport's connection through ctx.
func Outgoing(ctx context.Context) Header {
	if h, ok := ctx.Value(outgoingKey{}).(*Header); ok {
		return *h
	}
	return Header{}
}

// WithOutgoing returns a context with which a transport's connection sends the header h.
func WithOutgoing(ctx context.Context, h Header) context.Context {
	return context.WithValue(ctx, outgoingKey{}, &h)
}

// call is what a context knows of the call that it belongs to.
type call struct {
	requestID      string
	idempotencyKey string
	// incoming: the key came with the call that is being served.
	incoming bool
}

func callFrom(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// WithIdempotencyKey returns a context whose outgoing calls carry the key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	c := callFrom(ctx)
	c.idempotencyKey, c.incoming = key, false
	return context.WithValue(ctx, callKey{}, c)
}

// IdempotencyKey returns the key that the call being served came with, or that was set with
// WithIdempotencyKey; "" when there is none. A key that came in does not go out again by itself:
// the calls that a handler makes are other calls and need keys of their own.
func IdempotencyKey(ctx context.Context) string { return callFrom(ctx).idempotencyKey }

// WithRequestID returns a context that carries the ID of the request from outside. It goes out with
// every call.
func WithRequestID(ctx context.Context, id string) context.Context {
	c := callFrom(ctx)
	c.requestID = id
	return context.WithValue(ctx, callKey{}, c)
}

// RequestID returns the ID of the request from outside that ctx belongs to, or "".
func RequestID(ctx context.Context) string { return callFrom(ctx).requestID }
