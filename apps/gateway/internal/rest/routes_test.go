package rest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/gen/openapi"
)

// anyField matches a variable of a path.
var anyField = regexp.MustCompile(`\{[^}]*\}`)

// TestDocumentHasExactlyTheRoutes compares the routes under /v1, /auth and /health with openapi.json.
func TestDocumentHasExactlyTheRoutes(t *testing.T) {
	t.Parallel()
	known, err := contractRoutes()
	require.NoError(t, err)
	for _, own := range []string{
		"GET /auth/login", "GET /auth/callback", "POST /auth/logout", "POST /v1/webhooks/payments/{provider}",
		"GET /health/live", "GET /health/ready", "GET " + streamPath,
		"GET " + unsubscribePath, "POST " + unsubscribePath,
	} {
		known[own] = route{}
	}
	var served []string
	for key := range known {
		served = append(
			served,
			anyField.ReplaceAllStringFunc(key,
				func(v string) string { return strings.ToLower(strings.ReplaceAll(v, "_", "")) }),
		)
	}
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(openapi.Document, &document))
	var documented []string
	for path, item := range document.Paths {
		for verb := range item {
			documented = append(documented,
				strings.ToUpper(verb)+" "+anyField.ReplaceAllStringFunc(path, strings.ToLower))
		}
	}
	require.ElementsMatch(t, served, documented)
}

// ownPaths are paths below /v1 that no contract describes.
var ownPaths = []string{streamPath, unsubscribePath}

// TestDocumentHasExactlyTheParameters compares the routes' query parameters with openapi.json.
func TestDocumentHasExactlyTheParameters(t *testing.T) {
	t.Parallel()
	contracts, err := contractRoutes()
	require.NoError(t, err)
	var taken, documented []string
	normal := func(key string) string {
		return anyField.ReplaceAllStringFunc(key,
			func(v string) string { return strings.ToLower(strings.ReplaceAll(v, "_", "")) })
	}
	for key, rt := range contracts {
		for name, f := range rt.parameters {
			if name == f.JSONName() {
				taken = append(taken, normal(key)+" "+name)
			}
		}
	}
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	require.NoError(t, json.Unmarshal(openapi.Document, &document))
	for path, item := range document.Paths {
		for verb, operation := range item {
			for _, p := range operation.Parameters {
				if p.In == "query" && strings.HasPrefix(path, "/v1/") && !slices.Contains(ownPaths, path) {
					documented = append(documented, strings.ToUpper(verb)+" "+normal(path)+" "+p.Name)
				}
			}
		}
	}
	require.ElementsMatch(t, documented, taken)
}
