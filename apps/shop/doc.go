// Package shop is the shop service.
//
// It owns shops, their profile and status, and their members (owners and staff). It does not own
// what shops sell (product), their orders (order) or users' profiles (user).
//
// RPCs: proto/souk/shop/v1/shop.proto. It publishes evt.shop.{registered,updated,verified,suspended} and
// consumes no events. Tables: shop, member, outbox.
package shop
