// Package jsonpb is souk's JSON: what protojson writes with EmitDefaultValues, without the spaces that
// protojson puts in at random, and without reflection.
//
// Every message of souk's contracts has a generated method AppendJSON (see tools/protoc-gen-souk-json); the
// Append functions here are what those methods are made of. [Append] encodes any message, by its
// AppendJSON or else by protojson. [Marshaler] brings both directions to the REST gateway: fast encoding, and strict
// decoding whose errors name the field that is wrong.
package jsonpb
