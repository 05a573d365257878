package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// object is a JSON object of an OpenAPI document.
type object = map[string]any

// openAPI is the part of a document that this tool uses.
type openAPI struct {
	OpenAPI    string                       `json:"openapi"`
	Info       object                       `json:"info"`
	Servers    []object                     `json:"servers,omitempty"`
	Tags       []object                     `json:"tags"`
	Paths      map[string]map[string]object `json:"paths"`
	Components map[string]object            `json:"components"`
}

// mergeOpenAPI merges the plugin's documents, one per contract file, into one. It adds what the plugin does
// not know: access, the Idempotency-Key, the status of a success and the form of errors.
func mergeOpenAPI(c *contracts, parts map[string][]byte) ([]byte, error) {
	document := openAPI{
		Info: object{
			"title":       "souk",
			"version":     "1.0.0",
			"description": "Multi-vendor marketplace: catalogue, carts, checkout, orders and shops.",
		},
		Servers: []object{{"url": "/"}},
		Paths:   map[string]map[string]object{},
		Components: map[string]object{
			"schemas":         {"Problem": problemSchema},
			"responses":       {"Problem": problemResponse},
			"securitySchemes": {"bearerAuth": bearerAuth},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if err := document.add(parts[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	methods, err := c.methods()
	if err != nil {
		return nil, err
	}
	byOperation := map[string]method{}
	for _, m := range methods {
		byOperation[m.operationID()] = m
	}
	for path, item := range document.Paths {
		for verb, operation := range item {
			id, _ := operation["operationId"].(string)
			m, ok := byOperation[strings.TrimRight(id, "0123456789")]
			if !ok {
				m, ok = byOperation[id]
			}
			if !ok {
				return nil, fmt.Errorf("%s %s is no method: %q", verb, path, id)
			}
			complete(operation, m, strings.Contains(path, "{"))
			if err := limitOperation(operation, m); err != nil {
				return nil, fmt.Errorf("%s %s: %w", verb, path, err)
			}
		}
	}
	if err := c.limitAll(&document); err != nil {
		return nil, err
	}
	document.camelCasePaths()
	maps.Copy(document.Paths, extraPaths())
	document.Tags = append(document.Tags, extraTags...)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// add merges one part into the document.
func (d *openAPI) add(data []byte) error {
	var part openAPI
	if err := json.Unmarshal(data, &part); err != nil {
		return err
	}
	if d.OpenAPI != "" && d.OpenAPI != part.OpenAPI {
		return fmt.Errorf("is OpenAPI %s, others are %s", part.OpenAPI, d.OpenAPI)
	}
	d.OpenAPI = part.OpenAPI
	d.Tags = append(d.Tags, part.Tags...)
	for path, item := range part.Paths {
		if d.Paths[path] == nil {
			d.Paths[path] = map[string]object{}
		}
		for verb, operation := range item {
			if d.Paths[path][verb] != nil {
				return fmt.Errorf("%s %s is there twice", verb, path)
			}
			d.Paths[path][verb] = operation
		}
	}
	for kind, components := range part.Components {
		if d.Components[kind] == nil {
			d.Components[kind] = object{}
		}
		// Each part has the messages that it uses. The same name is the same protobuf message.
		maps.Copy(d.Components[kind], components)
	}
	return nil
}

// pathVariable is a variable of a path as contracts write it.
var pathVariable = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// camelCasePath converts a path's variables to the form of all other names in the document: {shopId}.
func camelCasePath(path string) string {
	return pathVariable.ReplaceAllStringFunc(path,
		func(v string) string { return "{" + camelCase(v[1:len(v)-1]) + "}" })
}

// camelCase returns the JSON name of a field.
func camelCase(name string) string {
	first, rest, more := strings.Cut(name, "_")
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "_")
		if part != "" {
			first += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return first
}

func (d *openAPI) camelCasePaths() {
	paths := map[string]map[string]object{}
	for path, item := range d.Paths {
		paths[camelCasePath(path)] = item
	}
	d.Paths = paths
}

// complete adds to an operation what the contract's options specify.
func complete(operation object, m method, hasPathParameter bool) {
	describe(operation, m)

	operation["security"] = []object{}
	if m.level != levelPublic {
		operation["security"] = []object{{"bearerAuth": []string{}}}
	}

	parameters, _ := operation["parameters"].([]any)
	for _, parameter := range parameters {
		describeParameter(parameter.(object), m.descriptor.Input())
		if p := parameter.(object); p["in"] == "path" {
			p["name"] = camelCase(p["name"].(string))
		}
	}
	if m.idempotencyKey {
		parameters = append(parameters, idempotencyKey)
	}
	if len(parameters) > 0 {
		operation["parameters"] = parameters
	}

	responses := operation["responses"].(object)
	if ok := responses["200"]; ok != nil && m.successStatus != 200 {
		delete(responses, "200")
		responses[strconv.Itoa(m.successStatus)] = ok
	}
	statuses := []string{"400", "429", "503", "default"}
	if m.level != levelPublic {
		statuses = append(statuses, "401", "403")
	}
	if hasPathParameter {
		statuses = append(statuses, "404")
	}
	if m.idempotencyKey {
		statuses = append(statuses, "409", "422")
	}
	for _, status := range statuses {
		responses[status] = problemReference
	}
}

// describe splits the method's comment into a summary and a description, and adds the required role.
func describe(operation object, m method) {
	text := comment(m.descriptor)
	name := string(m.descriptor.Name())
	if rest, ok := strings.CutPrefix(text, name+" "); ok {
		first, size := utf8.DecodeRuneInString(rest)
		text = string(unicode.ToUpper(first)) + rest[size:]
	}
	summary, description := text, ""
	if end := strings.IndexAny(text, ".:"); end >= 0 {
		summary, description = text[:end], strings.TrimSpace(text[end+1:])
	}
	operation["summary"] = summary
	if m.level == levelRole {
		description = strings.TrimSpace(description + " Needs the role " + strings.Join(m.roles, " or ") + ".")
	}
	delete(operation, "description")
	if description != "" {
		first, size := utf8.DecodeRuneInString(description)
		operation["description"] = string(unicode.ToUpper(first)) + description[size:]
	}
}

func describeParameter(parameter object, input protoreflect.MessageDescriptor) {
	name, _ := parameter["name"].(string)
	field := input.Fields().ByJSONName(name)
	if field == nil {
		field = input.Fields().ByTextName(name)
	}
	if field == nil || parameter["description"] != nil {
		return
	}
	if text := comment(field); text != "" {
		parameter["description"] = text
	}
}

// comment returns the comment before a declaration, on one line.
func comment(d protoreflect.Descriptor) string {
	location := d.ParentFile().SourceLocations().ByDescriptor(d)
	return strings.Join(strings.Fields(location.LeadingComments), " ")
}

var (
	bearerAuth = object{
		"type":        "http",
		"scheme":      "bearer",
		"description": "An access token of the sign-in provider, or the token of a guest (POST /v1/guest).",
	}
	idempotencyKey = object{
		"name": "Idempotency-Key", "in": "header", "required": true,
		"schema": object{"type": "string", "minLength": 1, "maxLength": 255},
		"description": "Names this request. A repetition with the same key and body gets the first answer again, " +
			"with the header Idempotent-Replayed: true. Kept for 7 days.",
	}
	problemResponse = object{
		"description": "The request was refused or failed (RFC 9457).",
		"headers": object{
			"Retry-After": object{
				"description": "Seconds after which to try again, with status 429 and 503.",
				"schema":      object{"type": "integer"},
			},
		},
		"content": object{
			"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}},
		},
	}
	problemSchema = object{
		"type":        "object",
		"description": "What went wrong (RFC 9457).",
		"required":    []string{"type", "title", "status", "code"},
		"properties": object{
			"type":   object{"type": "string", "description": "URI of the kind of problem."},
			"title":  object{"type": "string", "description": "The kind of problem, for people."},
			"status": object{"type": "integer", "description": "The HTTP status."},
			"detail": object{"type": "string", "description": "This problem, for people."},
			"code": object{
				"type":        "string",
				"description": "The kind of problem, for programs, e.g. out_of_stock. Never changes.",
			},
			"traceId": object{"type": "string", "description": "Names the request in souk's logs and traces."},
			"errors": object{
				"type":        "array",
				"description": "Fields of the request that are wrong.",
				"items": object{
					"type":     "object",
					"required": []string{"field", "message"},
					"properties": object{
						"field": object{
							"type":        "string",
							"description": "JSON path, e.g. shippingAddress.countryCode.",
						},
						"message": object{"type": "string"},
					},
				},
			},
		},
	}
)
