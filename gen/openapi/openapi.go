// Package openapi holds the OpenAPI 3.1 document of souk's REST API. `go run ./tools/generate` writes it from the contracts in proto/.
package openapi

import _ "embed"

// Document is the document, as JSON.
//
//go:embed souk.json
var Document []byte
