// Package jsonpb encodes and decodes souk's JSON. The output is protojson's with EmitDefaultValues, but
// without the spaces that protojson inserts at random, and made without reflection.
//
// Every message of souk's contracts has a generated method AppendJSON (see tools/protoc-gen-souk-json).
// Those methods call the Append functions of this package. [Append] encodes any message, by its
// AppendJSON or else by protojson. [Marshaler] is for the REST gateway: it encodes fast, and decodes
// strictly with errors that name the invalid field.
package jsonpb
