package rest

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/pkg/errs"
)

// parameters are the query parameters of a route, by their names in JSON and in the contract.
type parameters map[string]protoreflect.FieldDescriptor

// parametersOf returns the parameters of a route: the request's fields that are neither in its path nor in
// its body.
func parametersOf(request protoreflect.MessageDescriptor, pattern string, rule *annotations.HttpRule) parameters {
	out := parameters{}
	if rule.GetBody() == "*" {
		return out
	}
	for i := range request.Fields().Len() {
		f := request.Fields().Get(i)
		name := string(f.Name())
		if name == ifMatchField || name == rule.GetBody() || strings.Contains(pattern, "{"+name+"}") ||
			strings.Contains(pattern, "{"+name+"=") {
			continue
		}
		out[name], out[f.JSONName()] = f, f
	}
	return out
}

// check refuses a query with an unknown parameter, or with a single parameter given twice: a misspelled name
// would otherwise give the answer to another question.
//
// Errors: invalid_argument.
func (ps parameters) check(rawQuery string) error {
	if rawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return errs.Wrap(err, errs.Invalid, "the request's query is malformed")
	}
	given := make(map[string]bool, len(query))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		first, _, nested := strings.Cut(name, ".")
		f, known := ps[first]
		if !known || nested && f.Message() == nil {
			return errs.InvalidField(shortened(name), "is not a parameter here")
		}
		if f.IsList() {
			continue
		}
		field := f.JSONName() + strings.TrimPrefix(name, first)
		if len(query[name]) > 1 || given[field] {
			return errs.InvalidField(field, "is given twice")
		}
		given[field] = true
	}
	return nil
}

// shortened limits how much of an unknown name is shown.
func shortened(name string) string {
	const shown = 64
	if len(name) <= shown {
		return name
	}
	return strings.ToValidUTF8(name[:shown], "") + "…"
}
