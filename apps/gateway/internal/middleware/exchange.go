// Package middleware holds the steps of a request through the gateway. rest.New defines their order.
package middleware

import (
	"context"
	"net/http"
	"time"

	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/rpc"
	"souk/pkg/telemetry"
)

// Middleware wraps a handler.
type Middleware func(http.Handler) http.Handler

// Chain wraps h so that the first middleware sees a request first.
func Chain(h http.Handler, ms ...Middleware) http.Handler {
	for i := len(ms) - 1; i >= 0; i-- {
		h = ms[i](h)
	}
	return h
}

// Exchange is one request and its response as the middlewares see it.
//
// The steps between Begin and Timeout find it in their ResponseWriter, and add to its context what a service
// needs to know. Timeout makes that the request's context, once. An answer from the cache does not get that
// far, and so costs no copy of the request.
type Exchange struct {
	http.ResponseWriter

	// RequestID identifies the request in logs, errors and traces.
	RequestID string
	// Route is the matched pattern, e.g. "/v1/products/{id}"; "unmatched" if no route matched.
	Route string
	// Method is the full name of the RPC method behind the route; empty if the route has none.
	Method string
	// Actor is the caller.
	Actor identity.Actor
	// RatePerMinute is how many requests a caller with an API key may send; 0: as many as others.
	RatePerMinute int
	// RecentSeconds is how many seconds a sign-in is a recent one.
	RecentSeconds int64
	// StillValid checks the caller's credential again, for a response that lasts: it reports whether the credential still
	// names the caller. It does while the auth service does not answer.
	StillValid func(context.Context) bool
	// Resource is the path at which the API shows what the response shows; empty: nowhere.
	Resource string
	// Code is the error code of the response; empty if it is not an error.
	Code string
	// UnknownVouchers is how many unknown voucher codes the request had.
	UnknownVouchers int

	refused  identity.Actor  // whose credential may not be used as it was
	ctx      context.Context // becomes the request's context; see context
	unnamed  bool            // its trace is not sampled and has no ID yet
	traceID  string          // of a sampled trace
	idHeader [1]string       // the header's values: RequestID
	start    time.Time
	status   int
	bytes    int64
	wrote    bool
	// byOrigin: the request has no Origin; with an allowed one, its answer would have other headers.
	byOrigin bool
}

type exchangeKey struct{}

// From returns the request's exchange; nil outside the chain and before Timeout.
func From(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}

// exchangeOf returns the exchange of a response that is being written; nil outside the chain.
func exchangeOf(w http.ResponseWriter, r *http.Request) *Exchange {
	if x, ok := w.(*Exchange); ok {
		return x
	}
	return From(r.Context())
}

// Begin gives every request its exchange. It is the first step.
func Begin(c clock.Clock) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(
				&Exchange{
					ResponseWriter: w,
					Route:          "unmatched",
					status:         http.StatusOK,
					ctx:            r.Context(),
					start:          c.Now(),
				},
				r,
			)
		})
	}
}

// Timeout bounds a request's time, and gives it the context that the steps before have built. Paths in longer have
// timeouts of their own.
func Timeout(d time.Duration, longer map[string]time.Duration) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchangeOf(w, r)
			ctx, cancel := context.WithTimeout(x.context(), max(d, longer[r.URL.Path]))
			defer cancel()
			ctx = rpc.WithRequestID(context.WithValue(ctx, exchangeKey{}, x), x.RequestID)
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// context returns the request's context. A trace that is not sampled gets its ID only here: answers from the
// cache do not show it.
func (x *Exchange) context() context.Context {
	if x.unnamed {
		x.unnamed = false
		x.ctx, _ = telemetry.Unsampled(x.ctx)
	}
	return x.ctx
}

// WriteHeader records the status and sends the header.
func (x *Exchange) WriteHeader(status int) {
	if x.wrote {
		return
	}
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols { // other 1xx precede the answer
		x.wrote = true
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write counts and sends the bytes.
func (x *Exchange) Write(b []byte) (int, error) {
	x.wrote = true
	n, err := x.ResponseWriter.Write(b)
	x.bytes += int64(n)
	return n, err
}

// Status returns the response's status.
func (x *Exchange) Status() int { return x.status }

// Wrote reports whether the response has begun.
func (x *Exchange) Wrote() bool { return x.wrote }

// Unwrap lets http.ResponseController reach the connection.
func (x *Exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
