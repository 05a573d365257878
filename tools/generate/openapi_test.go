package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/gen/openapi"

	"souk/tools/internal/repo"
)

type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
		Ref      string `json:"$ref"`
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
			require.NotEmpty(t, op.Description)
			require.Equal(t, m.level == levelPublic, len(op.Security) == 0, "%s: security", op.OperationID)
			require.NotNil(t, op.Security, "%s: security", op.OperationID)
			require.Contains(t, string(op.Responses["default"]), "#/components/responses/UnexpectedProblem")
		}
	}
	require.GreaterOrEqual(t, wanted, 30)
	for _, item := range extraPaths() {
		wanted += len(item)
	}
	there := 0
	for _, item := range paths {
		there += len(item)
	}
	require.Equal(t, wanted, there, "operations that are no route")
	require.Contains(t, paths["/v1/webhooks/payments/{provider}"], "post")
}

func TestOpenAPI_Checkout(t *testing.T) {
	t.Parallel()
	paths, _ := parseDocument(t)
	checkout := paths["/v1/checkout"]["post"]
	require.Equal(t, []map[string][]string{{"bearerAuth": {}}, {"sessionCookie": {}}}, checkout.Security)
	require.Contains(t, checkout.Responses, "201")
	require.NotContains(t, checkout.Responses, "200")
	require.Equal(t, "#/components/parameters/RequiredIdempotencyKey", checkout.Parameters[0].Ref)
	for _, status := range []string{"400", "401", "402", "403", "409", "413", "422", "429", "500", "503", "default"} {
		require.Contains(t, checkout.Responses, status)
	}
	for _, code := range []string{"out_of_stock", "idempotency_in_flight", "Retry-After"} {
		require.Contains(t, string(checkout.Responses["409"]), code)
	}
	require.Contains(t, string(checkout.Responses["201"]), "Location")
	require.Empty(t, paths["/v1/products"]["get"].Security)
}

func TestOpenAPI_HasTheHeadersThatAreSent(t *testing.T) {
	t.Parallel()
	paths, whole := parseDocument(t)
	for _, tc := range []struct{ path, verb, status, header string }{
		{"/v1/products", "get", "200", "Age"},
		{"/v1/products", "get", "200", "Warning"},
		{"/v1/products", "get", "200", "Vary"},
		{"/v1/checkout", "post", "402", "Idempotent-Replayed"},
		{"/v1/checkout", "post", "409", "Idempotent-Replayed"},
		{"/v1/guest", "post", "201", "Idempotent-Replayed"},
		{"/v1/guest", "post", "201", "Set-Cookie"},
		{"/auth/login", "get", "303", "Set-Cookie"},
		{"/auth/logout", "post", "204", "Set-Cookie"},
	} {
		require.Contains(t, string(paths[tc.path][tc.verb].Responses[tc.status]), `"`+tc.header+`"`, "%v", tc)
	}
	require.Contains(t, paths["/auth/logout"]["post"].Responses, "400")
	require.Contains(t, paths["/v1/shops"]["post"].Responses, "404", "a repetition after it is gone")
	require.Contains(t, string(paths["/v1/operator/categories"]["post"].Responses["409"]), "`conflict`")
	responses := whole["components"].(map[string]any)["responses"].(map[string]any)
	for name, header := range map[string]string{
		"Unauthenticated": "WWW-Authenticate", "NotFound": "Idempotent-Replayed", "NotModified": "Vary",
	} {
		require.Contains(t, responses[name].(map[string]any)["headers"], header)
	}
}

// TestOpenAPI_MasksOfExamplesNameFields: an example that is sent as it is must not be refused.
func TestOpenAPI_MasksOfExamplesNameFields(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	found := 0
	for path, item := range whole["paths"].(map[string]any) {
		for _, operation := range item.(map[string]any) {
			body, _ := operation.(map[string]any)["requestBody"].(map[string]any)
			if body == nil {
				continue
			}
			example, _ := body["content"].(map[string]any)["application/json"].(map[string]any)["example"].(map[string]any)
			mask, ok := example["updateMask"].(string)
			if !ok {
				continue
			}
			found++
			for _, field := range strings.Split(mask, ",") {
				require.Contains(t, example, field, path)
			}
		}
	}
	require.NotZero(t, found)
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
	address := []string{"components", "schemas", "ShippingAddressInput"}
	require.Equal(t, []any{"countryCode", "line1", "name"}, at(append(address, "required")...))
	require.InDelta(t, 200, at(append(address, "properties", "name", "maxLength")...), 0)
	require.Equal(t, "^[A-Z]{2}$", at(append(address, "properties", "countryCode", "pattern")...))
	require.Equal(t, []any{"card", "wallet", "bank_transfer", "cod"},
		at("components", "schemas", "PaymentInput", "properties", "method", "enum"))
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
	require.Equal(t, "/", whole["servers"].([]any)[0].(map[string]any)["url"])

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

func schemaAt(t *testing.T, whole map[string]any, name string) map[string]any {
	t.Helper()
	schema, ok := whole["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
	require.True(t, ok, name)
	return schema
}

func TestOpenAPI_AnswersRequireWhatIsAlwaysThere(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	require.Equal(t, []any{"amount", "currencyCode"}, schemaAt(t, whole, "Money")["required"])
	require.ElementsMatch(t, []any{
		"city", "countryCode", "line1", "line2", "name", "phone", "postalCode", "region",
	}, schemaAt(t, whole, "ShippingAddress")["required"])
	costs := schemaAt(t, whole, "StockedProduct")["properties"].(map[string]any)["costs"].(map[string]any)
	require.Equal(t, "#/components/schemas/Money", costs["additionalProperties"].(map[string]any)["$ref"])
	part := schemaAt(t, whole, "ShopOrder")["required"]
	require.Contains(t, part, "total")
	require.NotContains(t, part, "shippedAt")
	require.Contains(t, schemaAt(t, whole, "Preferences")["required"], "locale")
	for _, changed := range []string{"UpdateMeRequest", "UpdateShopRequest", "UpdateProductRequest", "PreferencesInput"} {
		require.NotContains(t, schemaAt(t, whole, changed), "required", changed)
	}
}

func TestOpenAPI_StatusesRolesAndMethodsAreEnums(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	schemas := whole["components"].(map[string]any)["schemas"].(map[string]any)
	for name, schema := range schemas {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for _, field := range []string{"status", "role", "method", "outcome"} {
			// An audit entry and an approval name a method of a contract.
			if p, ok := properties[field].(map[string]any); ok &&
				!slices.Contains([]string{"Problem", "Entry", "Approval"}, name) {
				require.NotEmpty(t, p["enum"], "%s.%s", name, field)
			}
		}
	}
}

func TestOpenAPI_EveryFieldHasADescriptionAndAnExample(t *testing.T) {
	t.Parallel()
	_, whole := parseDocument(t)
	for name, schema := range whole["components"].(map[string]any)["schemas"].(map[string]any) {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for field, p := range properties {
			require.NotEmpty(t, p.(map[string]any)["description"], "%s.%s", name, field)
			require.NotEmpty(t, p.(map[string]any)["examples"], "%s.%s", name, field)
		}
	}
}

func TestOpenAPI_ServicesOfServicegenAreDocumented(t *testing.T) {
	t.Parallel()
	root, err := repo.Root()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(root, "proto"))))
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(root, filepath.FromSlash(sampleDir), "proto"))))
	c, err := compile(t.Context(), dir, publicRoot)
	require.NoError(t, err)
	document, err := c.openAPI()
	require.NoError(t, err)
	require.Contains(t, string(document), "/v1/gadgets/{id}")
}

func TestOpenAPI_UndocumentedContractIsRefused(t *testing.T) {
	t.Parallel()
	root, err := repo.Root()
	require.NoError(t, err)
	compiled := func(contract string) *contracts {
		dir := t.TempDir()
		options, err := os.ReadFile(filepath.Join(root, "proto", "souk", "options", "v1", "options.proto"))
		require.NoError(t, err)
		for name, text := range map[string][]byte{"lamp": []byte(contract), "options": options} {
			file := filepath.Join(dir, "souk", name, "v1", name+".proto")
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, text, 0o600))
		}
		c, err := compile(t.Context(), dir, publicRoot)
		require.NoError(t, err)
		return c
	}
	const lamp = `syntax = "proto3"; package souk.lamp.v1;
import "google/api/annotations.proto"; import "souk/options/v1/options.proto";
// LampService owns lamps.
service LampService {
  // GetLamp shows a lamp.
  rpc GetLamp(GetLampRequest) returns (GetLampResponse) {
    option (google.api.http) = {get: "/v1/lamps/{id}"};
    option (souk.options.v1.access) = {level: LEVEL_PUBLIC};
    option (souk.options.v1.refuses) = {codes: ["conflict"]};
  }
}
message GetLampRequest { string id = 1; }
message GetLampResponse {
  // Its colour.
  string colour = 1 [(souk.options.v1.example) = "red"];
}
`
	_, err = compiled(lamp).openAPI()
	require.NoError(t, err)
	for _, c := range []struct{ old, changed, want string }{
		{`  // GetLamp shows a lamp.`, ``, "souk.lamp.v1.LampService.GetLamp needs a comment"},
		{`  // Its colour.`, ``, "souk.lamp.v1.GetLampResponse.colour needs a comment"},
		{` [(souk.options.v1.example) = "red"]`, ``, "colour needs the option (souk.options.v1.example)"},
		{`"conflict"`, `"boom"`, `unknown code "boom"`},
		{`{id}`, `{number}`, "has no field number"},
	} {
		_, err := compiled(strings.Replace(lamp, c.old, c.changed, 1)).openAPI()
		require.ErrorContains(t, err, c.want)
	}
}
