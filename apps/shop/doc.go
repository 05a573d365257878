// Package shop is the shop service.
//
// It owns shops, their profile and status, and who is a member of them (owner or staff). It does not own
// what shops sell (product), their orders (order) or users' profiles (user).
//
// RPCs: proto/souk/shop/v1/shop.proto. Events out: evt.shop.{registered,updated,verified,suspended}; in: none.
// Tables: shop, member, outbox.
package shop
