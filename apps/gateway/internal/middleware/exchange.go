// Package middleware holds the steps that a request passes on its way through the gateway.
// Their order stands in one place: Chain's caller in package rest.
package middleware

import (
	"context"
	"net/http"
	"sync"

	"souk/pkg/identity"
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

// Exchange is one request and its response as the middlewares see it. It lives as long as its request.
type Exchange struct {
	http.ResponseWriter

	// RequestID names the request in logs, errors and traces.
	RequestID string
	// Route is the matched pattern, e.g. "/v1/products/{id}"; "unmatched" when none did.
	Route string
	// Method is the full name of the RPC method behind the route; empty when there is none.
	Method string
	// Actor is who calls.
	Actor identity.Actor
	// Code is the error code that the response shows; empty when it is not an error.
	Code string

	status int
	bytes  int64
	wrote  bool
}

type exchangeKey struct{}

var exchanges = sync.Pool{New: func() any { return new(Exchange) }}

// From returns the request's exchange; nil outside the chain.
func From(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}

// Begin gives every request its exchange. It stands first in the chain.
func Begin() Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchanges.Get().(*Exchange)
			*x = Exchange{ResponseWriter: w, Route: "unmatched", status: http.StatusOK}
			next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
			*x = Exchange{}
			exchanges.Put(x)
		})
	}
}

// WriteHeader notes the status and sends the header.
func (x *Exchange) WriteHeader(status int) {
	if x.wrote {
		return
	}
	x.wrote = true
	x.status = status
	x.ResponseWriter.WriteHeader(status)
}

// Write notes the size and sends the bytes.
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
