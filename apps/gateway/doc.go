// Package gateway is the entrance to souk: REST outside, RPC inside.
//
// It owns the routes (read from the contracts' google.api.http annotations), the cookies of browser sign-in,
// and the steps of every request; see rest.New for their order. It owns no data of its own. Gateways share in
// Redis the answers by Idempotency-Key and the counts of the rate limit.
//
// The gateway does not decide permissions. It asks auth who calls and signs an assertion of that for the
// services, and they decide.
//
//	internal/rest        routes, sign-in, webhooks, documentation
//	internal/middleware  the steps of a request
//	internal/repository  what the gateways share in Redis
//
// # At a glance
//
//   - Speaks: REST, OpenAPI
//   - Owns: nothing: REST outside, RPC inside; authentication, idempotency keys, rate limits, response
//     cache
//   - PostgreSQL: –
//   - Redis: answers by Idempotency-Key, rate limits; reads the cache tags
//   - Consumes: –
//   - Publishes: –
package gateway
