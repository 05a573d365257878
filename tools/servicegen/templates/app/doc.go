//go:build !documents && !none

// Package sample is the sample service. It owns the gadgets of signed-in users.
//
// RPCs: proto/souk/sample/v1/sample.proto. Each call sees what belongs to its caller, and nothing else.
//
// # At a glance
//
//   - Owns: gadgets
//   - PostgreSQL: gadgets, outbox
//   - Redis: –
//   - Consumes: –
//   - Publishes: evt.sample.*
package sample
