// Command generate compiles the contracts in proto/ and generates:
//
//	gen/go/souk/{service}/v1   messages, gRPC stubs, REST handlers and JSON encoders
//	gen/openapi/souk.json      the OpenAPI 3.1 document of the public API
//	gen/go/souk/services       the registry of services, from apps/ and proto/; all lists of services derive from it
//	docs/events.md             the events, from the events.proto of each service and from the subjects that are consumed
//	infra/helm/souk/files      what each service needs where it runs, for the Helm chart
//	README.md, docs/           the tables of services, from the section "At a glance" of each doc.go
//
// and in the same way the Go code of the encoder's test messages (pkg/jsonpb) and of tools/servicegen's templates.
//
// It needs neither protoc nor network. It resolves third-party imports (google/protobuf, google/api, buf/validate)
// from the descriptors of the Go packages that it links, and builds the plugins at the versions that go.mod
// pins. The same input gives the same output, byte for byte.
//
//	go run ./tools/generate                    writes gen/
//	go run ./tools/generate -check             fails if gen/ is not up to date
//	go run ./tools/generate -image out.binpb   only writes a descriptor image for buf lint and buf breaking
//
// The contracts have no go_package option. This tool sets it to `souk/gen/go/{folder};{service}{version}`.
package main
