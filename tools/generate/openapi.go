package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/pkg/errs"
)

// object is a JSON object of an OpenAPI document.
type object = map[string]any

// openAPI returns the OpenAPI document of all methods with a REST route, and of the gateway's own routes. It fails if
// an operation or a field has no description or example: CONTRIBUTING.md says what a contract must have.
func (c *contracts) openAPI() ([]byte, error) {
	methods, err := c.methods()
	if err != nil {
		return nil, err
	}
	s := newSchemas(c, methods)
	paths, tags := map[string]object{}, []object{}
	var problems []error
	tagged := map[string]bool{}
	for _, m := range methods {
		if len(m.routes) == 0 {
			continue
		}
		if service := m.descriptor.Parent(); !tagged[tagOf(m)] {
			tagged[tagOf(m)] = true
			tags = append(tags, object{"name": tagOf(m), "description": sentence(service)})
		}
		for _, r := range m.routes {
			path := camelCasePath(r.path)
			if paths[path] == nil {
				paths[path] = object{}
			}
			if paths[path][r.verb] != nil {
				return nil, fmt.Errorf("%s %s is there twice", r.verb, path)
			}
			operation, err := s.operation(m, r)
			problems = append(problems, err)
			paths[path][r.verb] = operation
		}
	}
	components := s.components()
	problems = append(problems, s.problems...)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("the contracts' documentation is incomplete (CONTRIBUTING.md, \"An RPC\"):\n%w", err)
	}
	for path, item := range extraPaths() {
		paths[path] = item
	}
	tags = append(tags, extraTags...)
	slices.SortFunc(tags, func(a, b object) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	document := object{
		"openapi": "3.1.0",
		"info":    documentInfo,
		"servers": []object{{"url": "/", "description": "The gateway that serves this document."}},
		"tags":    tags,
		"paths":   paths,
		"components": object{
			"schemas":         components,
			"responses":       sharedResponses(),
			"headers":         sharedHeaders,
			"parameters":      sharedParameters,
			"securitySchemes": securitySchemes,
		},
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// tagOf returns the name of a method's service, e.g. "Order".
func tagOf(m method) string {
	return strings.TrimSuffix(string(m.descriptor.Parent().Name()), "Service")
}

// operation describes one route of a method.
func (s *schemas) operation(m method, r route) (object, error) {
	text := sentence(m.descriptor)
	if text == "" {
		return nil, fmt.Errorf("%s needs a comment", m.descriptor.FullName())
	}
	summary, _, _ := strings.Cut(text, ". ")
	if first, _, found := strings.Cut(summary, ": "); found {
		summary = first
	}
	operation := object{
		"operationId": m.operationID(),
		"tags":        []string{tagOf(m)},
		"summary":     strings.TrimSuffix(summary, "."),
		"description": strings.TrimSuffix(text, ".") + ". " + m.whoMayCall(),
		"security":    []object{},
	}
	if m.level != levelPublic {
		operation["security"] = []object{{"bearerAuth": []string{}}, {"sessionCookie": []string{}}}
	}
	if m.permission != "" {
		operation["x-permission"] = m.permission
	}
	if parameters := s.parameters(m, r); len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	if r.body {
		body := s.requestBody(m, r)
		operation["requestBody"] = object{
			"required": true,
			"content":  object{"application/json": body},
		}
	}
	responses, err := s.responses(m, r)
	operation["responses"] = responses
	return operation, err
}

func (m method) whoMayCall() string {
	if m.recentSignIn {
		return m.whoMay() + " The sign-in must be a recent one."
	}
	return m.whoMay()
}

func (m method) whoMay() string {
	more := ""
	if m.permission != "" {
		more = " The permission " + m.permission + " lets a caller do more with it."
	}
	switch m.level {
	case levelPublic:
		return "Anyone may call it." + more
	case levelGuest:
		return "Needs a signed-in user or a guest." + more
	case levelPermission:
		return "Needs the permission " + m.permission + " in the marketplace."
	case levelShopPermission:
		return "Needs the permission " + m.permission + " in the shop or in the marketplace."
	default:
		return "Needs a signed-in user." + more
	}
}

// ifMatch is the field that the gateway fills with the header If-Match.
const ifMatch = "if_match"

// guestPath is the route whose answer the gateway also sets as a cookie.
const guestPath = "/v1/guest"

// keyed reports whether the answer to a request with an Idempotency-Key is kept, if the caller has an identity.
func (r route) keyed() bool { return r.verb == "post" }

func (s *schemas) parameters(m method, r route) []any {
	var all []any
	inPath := map[string]bool{}
	input := m.descriptor.Input()
	for _, name := range r.variables() {
		inPath[name] = true
		all = append(all, s.parameter(m, r, name, "path"))
	}
	if !r.body {
		for i := range input.Fields().Len() {
			if name := string(input.Fields().Get(i).Name()); !inPath[name] && name != ifMatch {
				all = append(all, s.parameter(m, r, name, "query"))
			}
		}
	}
	switch {
	case m.idempotencyKey:
		all = append(all, object{"$ref": "#/components/parameters/RequiredIdempotencyKey"})
	case r.keyed():
		all = append(all, object{"$ref": "#/components/parameters/IdempotencyKey"})
	}
	if m.cacheSeconds > 0 {
		all = append(all, object{"$ref": "#/components/parameters/IfNoneMatch"})
	}
	if input.Fields().ByName(ifMatch) != nil {
		all = append(all, object{"$ref": "#/components/parameters/IfMatch"})
	}
	return all
}

// pathIDs says what {id} is behind a segment of a path.
var pathIDs = map[string]struct{ name, prefix string }{
	"orders": {"order", "ord_"}, "shop-orders": {"shop order", "sho_"}, "payments": {"payment", "pay_"},
	"products": {"product", "prd_"}, "variants": {"variant", "var_"}, "categories": {"category", "cat_"},
	"shops": {"shop", "shp_"}, "users": {"user", "usr_"},
	"invitations": {"invitation", "inv_"},
}

func (s *schemas) parameter(m method, r route, name, in string) object {
	input := m.descriptor.Input()
	before, _, _ := strings.Cut(r.path, "/{id}")
	resource := before[strings.LastIndex(before, "/")+1:]

	field := input.Fields().ByName(protoreflect.Name(name))
	if field == nil {
		s.problem(fmt.Errorf("%s has no field %s, which its path names", input.FullName(), name))
		return nil
	}
	schema, description := s.property(field, request)
	example := schema["examples"].([]any)[0]
	if kind, ok := pathIDs[resource]; ok && name == "id" && in == "path" {
		example = kind.prefix + exampleOfID
		if comment(field) == "" {
			description = "Identifier of the " + kind.name + "."
		}
	}
	delete(schema, "examples")
	parameter := object{
		"name": field.JSONName(), "in": in, "required": in == "path", "schema": schema, "description": description,
		"example": example,
	}
	delete(schema, "description")
	if in == "path" {
		schema["minLength"] = 1
	}
	return parameter
}

// requestBody returns the media type of a request's JSON.
func (s *schemas) requestBody(m method, r route) object {
	reference, example := s.body(m.descriptor.Input(), append(r.variables(), ifMatch))
	return object{"schema": reference, "example": example}
}

// responses returns the answers of an operation: that of a success, and one for each status of an error.
func (s *schemas) responses(m method, r route) (object, error) {
	var sent []string
	if m.location != "" {
		sent = append(sent, "Location")
	}
	if m.cacheSeconds > 0 || r.responseBody == "product" {
		sent = append(sent, "ETag")
	}
	if m.cacheSeconds > 0 {
		sent = append(sent, "Age", "Vary", "Warning")
	}
	if r.keyed() {
		sent = append(sent, "Idempotent-Replayed")
	}
	if r.path == guestPath {
		sent = append(sent, "Set-Cookie")
	}
	reference, example := s.answer(m, r)
	success := object{
		"description": successDescription(m),
		"content":     object{"application/json": object{"schema": reference, "example": example}},
	}
	if len(sent) > 0 {
		success["headers"] = headers(sent...)
	}
	responses := object{strconv.Itoa(m.successStatus): success, "default": problemResponse("UnexpectedProblem")}
	if m.cacheSeconds > 0 {
		responses["304"] = object{"$ref": "#/components/responses/NotModified"}
	}
	codes, err := s.codes(m, r)
	for status, codes := range codes {
		responses[strconv.Itoa(status)] = problemOf(status, codes, r.keyed())
	}
	return responses, err
}

func successDescription(m method) string {
	if m.successStatus == http.StatusCreated {
		return "It was made."
	}
	return "The request succeeded."
}

// codes returns the codes of errors by status: those that follow from the route's access, path and body, and those
// that the contract lists.
func (s *schemas) codes(m method, r route) (map[int][]errs.Code, error) {
	all := []errs.Code{
		errs.Invalid,
		errs.Unauthenticated,
		errs.RequestRefused,
		errs.RateLimited,
		errs.LockedOut,
		errs.Internal,
		errs.Overloaded,
		errs.Unavailable,
	}
	if m.level != levelPublic || r.verb != "get" {
		all = append(all, errs.Forbidden, errs.AccountSuspended)
	}
	if m.permission != "" && !m.readOnly {
		all = append(all, errs.ApprovalRequired)
	}
	if m.recentSignIn {
		all = append(all, errs.SignInAgain)
	}
	if len(r.variables()) > 0 || r.keyed() && m.resource { // a repetition may find that it is gone
		all = append(all, errs.NotFound)
	}
	if r.keyed() && !m.resource { // a repetition whose answer was too large to keep
		all = append(all, errs.Conflict)
	}
	if r.body {
		all = append(all, errs.TooLarge)
	}
	if m.descriptor.Input().Fields().ByName(ifMatch) != nil {
		all = append(all, errs.PreconditionFailed)
	}
	if r.keyed() {
		all = append(all, errs.IdempotencyInFlight, errs.IdempotencyMismatch)
	}
	if s.guarded(m.descriptor.Input(), 0) {
		all = append(all, errs.CardNumberRefused)
	}
	for _, code := range m.refuses {
		if c := errs.Code(code); c.HTTPStatus() != http.StatusInternalServerError {
			all = append(all, c)
		} else {
			return nil, fmt.Errorf("%s: souk.options.v1.refuses has the unknown code %q", m.descriptor.FullName(), code)
		}
	}
	byStatus := map[int][]errs.Code{}
	for _, code := range all {
		status := code.HTTPStatus()
		if !slices.Contains(byStatus[status], code) {
			byStatus[status] = append(byStatus[status], code)
		}
	}
	return byStatus, nil
}

// sentence returns a declaration's comment on one line, without its name in front, and with a capital letter.
func sentence(d protoreflect.Descriptor) string {
	text := strings.TrimPrefix(comment(d), string(d.Name())+" ")
	if rest, ok := strings.CutPrefix(text, "is "); ok {
		text = rest
	}
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

// comment returns the comment before a declaration, on one line.
func comment(d protoreflect.Descriptor) string {
	location := d.ParentFile().SourceLocations().ByDescriptor(d)
	return strings.Join(strings.Fields(location.LeadingComments), " ")
}

// pathVariable is a variable of a path as contracts write it.
var pathVariable = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// variables returns the names of the fields in a route's path.
func (r route) variables() []string {
	var names []string
	for _, v := range pathVariable.FindAllString(r.path, -1) {
		names = append(names, v[1:len(v)-1])
	}
	return names
}

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

// problemOf returns the response for a status of an operation, whose refusals are kept for a key if it is keyed. Codes
// that only this operation has are named in it.
func problemOf(status int, codes []errs.Code, keyed bool) object {
	if shared := sharedProblems[status]; shared.name != "" && slices.Equal(codes, shared.codes) {
		return problemResponse(shared.name)
	}
	sent := problemHeaders(status)
	if slices.Contains(codes, errs.IdempotencyInFlight) || slices.Contains(codes, errs.CheckoutInProgress) {
		sent = append(sent, "Retry-After")
	}
	if keyed && status < http.StatusInternalServerError {
		sent = append(sent, "Idempotent-Replayed")
	}
	return problemObject(status, codes, headers(sent...))
}

// problemHeaders returns the names of the headers that every problem of a status may have.
func problemHeaders(status int) []string {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return []string{"Idempotent-Replayed"}
	case http.StatusUnauthorized:
		return []string{"WWW-Authenticate"}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return []string{"Retry-After"}
	default:
		return nil
	}
}

func problemResponse(name string) object { return object{"$ref": "#/components/responses/" + name} }

func sharedResponses() object {
	all := object{
		"UnexpectedProblem": problemObject(http.StatusInternalServerError, []errs.Code{errs.Internal}, nil),
		"NotModified": object{
			"description": "The client's copy (If-None-Match) is up to date.",
			"headers":     headers("ETag", "Vary"),
		},
	}
	for status, shared := range maps.All(sharedProblems) {
		all[shared.name] = problemObject(status, shared.codes, headers(problemHeaders(status)...))
	}
	return all
}
