// Package kinds holds a message with every kind of field there is, for the tests of jsonpb: souk's own contracts
// use only some. `go run ./tools/generate` generates it from kinds.proto.
package kinds
