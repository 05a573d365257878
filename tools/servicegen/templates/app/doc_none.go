//go:build none

// Package sample is the sample service. It splits amounts of money. It keeps no state.
//
// RPCs: proto/souk/sample/v1/sample.proto.
//
// # At a glance
//
//   - Owns: nothing: computes how an amount is split
//   - PostgreSQL: –
//   - Redis: –
//   - Consumes: –
//   - Publishes: –
package sample
