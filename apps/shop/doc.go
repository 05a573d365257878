// Package shop is the shop service.
//
// It owns shops, their profile and status, and their members (owners and staff). It does not own
// what shops sell (product), their orders (order) or users' profiles (user).
//
// RPCs: proto/souk/shop/v1/shop.proto. Events: evt.shop.registered, updated, verified, suspended and member_invited.
//
// A user becomes a member by registering the shop, or by accepting an invitation. An owner or an operator invites a
// person by e-mail. The person accepts as a user whose address is the invited one and verified by the sign-in
// provider: the user service is asked for it. The invited address is stored until the invitation ends.
//
// An owner has all permissions that a shop has (pkg/permission), and chooses which of them each member of the staff
// has. API keys have scopes; what one may do follows the membership of its creator, so the keys are here, and auth asks
// for them. Of a secret, its SHA-256 is stored. When a key was used is noted a minute at most later, not by the
// request.
//
// A shop that an operator creates is verified. Members of a suspended shop change nothing here; they fulfil orders,
// and may leave.
//
// # At a glance
//
//   - Owns: shops, their status, who is a member and may do what, API keys
//   - PostgreSQL: shop, member, invitation, api_key, outbox
//   - Redis: bumps the tag shop
//   - Consumes: –
//   - Publishes: evt.shop.*
package shop
