// Package kinds holds a message with every kind of field, for the tests of jsonpb. souk's own contracts use
// only some kinds. `go run ./tools/generate` generates it from kinds.proto.
package kinds
