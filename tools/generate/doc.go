// Command generate compiles the contracts in proto/ and writes everything that is generated from them:
//
//	gen/go/souk/{service}/v1   messages, gRPC stubs, REST handlers and JSON encoders
//	gen/openapi/souk.json      the OpenAPI 3.1 document of the public API
//
// It needs no protoc and no network: imports that are not ours (google/protobuf, google/api, buf/validate)
// are resolved from the descriptors of the Go packages that souk links, and the plugins are built from the
// versions that go.mod pins. The same input gives the same output, byte for byte.
//
//	go run ./tools/generate                    writes gen/
//	go run ./tools/generate -check             fails when gen/ is not what would be written
//	go run ./tools/generate -image out.binpb   writes a descriptor image for buf lint and buf breaking, nothing else
//
// The contracts have no go_package option: this tool gives each file `souk/gen/go/{folder};{service}{version}`.
package main
