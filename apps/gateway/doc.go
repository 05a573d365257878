// Package gateway is souk's front door: REST outside, RPC inside.
//
// It owns the routes (read from the contracts' google.api.http annotations), the browser sign-in's cookies,
// and what every request passes on its way: see rest.New for the order. It owns no data of its own; in
// Redis it keeps, shared with other gateways, the answers by Idempotency-Key and the counts of the rate limit.
//
// It does not decide who may do what: it finds out who calls (asking auth), signs that for the services, and
// they decide.
//
//	internal/rest        routes, sign-in, webhooks, documentation
//	internal/middleware  the steps of a request
//	internal/repository  what it keeps in Redis
package gateway
