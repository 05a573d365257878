package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/gen/openapi"

	"souk/tools/internal/repo"
)

type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
	} `json:"parameters"`
	Responses map[string]json.RawMessage `json:"responses"`
}

func parseDocument(t *testing.T) (paths map[string]map[string]operation, whole map[string]any) {
	t.Helper()
	var document struct {
		OpenAPI string                          `json:"openapi"`
		Paths   map[string]map[string]operation `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(openapi.Document, &document))
	require.NoError(t, json.Unmarshal(openapi.Document, &whole))
	require.True(t, strings.HasPrefix(document.OpenAPI, "3.1."), document.OpenAPI)
	return document.Paths, whole
}

func TestOpenAPI_HasEveryRoute(t *testing.T) {
	t.Parallel()
	root, err := repo.Root()
	require.NoError(t, err)
	c, err := compile(t.Context(), filepath.Join(root, "proto"), publicRoot)
	require.NoError(t, err)
	methods, err := c.methods()
	require.NoError(t, err)
	paths, _ := parseDocument(t)

	wanted := 0
	for _, m := range methods {
		for _, r := range m.routes {
			wanted++
			op, ok := paths[camelCasePath(r.path)][r.verb]
			require.True(t, ok, "%s %s is missing", r.verb, r.path)
			require.Equal(t, m.operationID(), op.OperationID)
			require.NotEmpty(t, op.Summary)
			require.Equal(t, m.level == levelPublic, len(op.Security) == 0, "%s: security", op.OperationID)
			require.NotNil(t, op.Security, "%s: security", op.OperationID)
			require.Contains(t, string(op.Responses["default"]), "#/components/responses/Problem")
		}
	}
	require.GreaterOrEqual(t, wanted, 30)
	there := 0
	for _, item := range paths {
		there += len(item)
	}
	require.Equal(t, wanted+len(extraPaths()), there, "operations that are no route")
	require.Contains(t, paths["/v1/webhooks/payments/{provider}"], "post")
}

func TestOpenAPI_Checkout(t *testing.T) {
	t.Parallel()
	paths, _ := parseDocument(t)
	checkout := paths["/v1/checkout"]["post"]
	require.Equal(t, []map[string][]string{{"bearerAuth": {}}}, checkout.Security)
	require.Contains(t, checkout.Responses, "201")
	require.NotContains(t, checkout.Responses, "200")
	require.Equal(t, "Idempotency-Key", checkout.Parameters[0].Name)
	require.Equal(t, "header", checkout.Parameters[0].In)
	require.True(t, checkout.Parameters[0].Required)
	require.Empty(t, paths["/v1/products"]["get"].Security)
}

func TestOpenAPI_HasTheLimitsOfTheContracts(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	at := func(steps ...string) any {
		v := any(whole)
		for _, step := range steps {
			v = v.(map[string]any)[step]
		}
		return v
	}
	address := []string{"components", "schemas", "souk.order.v1.ShippingAddress"}
	require.Equal(t, []any{"city", "line1", "name", "postalCode"}, at(append(address, "required")...))
	require.InDelta(t, 200, at(append(address, "properties", "name", "maxLength")...), 0)
	require.Equal(t, "^[A-Z]{2}$", at(append(address, "properties", "countryCode", "pattern")...))
	require.Equal(t, []any{"card", "wallet", "bank_transfer", "cod"},
		at("components", "schemas", "souk.order.v1.PaymentInput", "properties", "method", "enum"))
	search := at("paths", "/v1/products", "get", "parameters").([]any)
	require.InDelta(t, 200, search[0].(map[string]any)["schema"].(map[string]any)["maxLength"], 0)
	item := at("paths", "/v1/cart/items/{variantId}", "patch", "parameters").([]any)[0].(map[string]any)
	require.Equal(t, "variantId", item["name"])
	require.InDelta(t, 64, item["schema"].(map[string]any)["maxLength"], 0)
}

func TestOpenAPI_ReferencesResolve(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	info := whole["info"].(map[string]any)
	require.Equal(t, "souk", info["title"])
	require.NotEmpty(t, info["version"])
	require.Equal(t, []any{map[string]any{"url": "/"}}, whole["servers"])

	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				target := any(whole)
				for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					target = target.(map[string]any)[step]
					require.NotNil(t, target, ref)
				}
			}
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(whole)
}
