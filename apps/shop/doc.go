// Package shop is the shop service.
//
// It owns shops, their profile and status, and their members (owners and staff). It does not own
// what shops sell (product), their orders (order) or users' profiles (user).
//
// RPCs: proto/souk/shop/v1/shop.proto. Events: evt.shop.registered, updated, verified and suspended.
//
// # At a glance
//
//   - Owns: shops, their status, who is a member
//   - PostgreSQL: shop, member, outbox
//   - Redis: bumps the tag shop
//   - Consumes: –
//   - Publishes: evt.shop.*
package shop
