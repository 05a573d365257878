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

// parameters are what a route takes in its query, by the names in JSON and in the contract.
type parameters map[string]protoreflect.FieldDescriptor

// parametersOf returns the parameters of a route: the fields of its request that neither its path nor its body holds.
func parametersOf(request protoreflect.MessageDescriptor, pattern string, rule *annotations.HttpRule) parameters {
	out := parameters{}
	if rule.GetBody() == "*" {
		return out
	}
	for i := range request.Fields().Len() {
		f := request.Fields().Get(i)
		name := string(f.Name())
		if name == rule.GetBody() || strings.Contains(pattern, "{"+name+"}") || strings.Contains(pattern, "{"+name+"=") {
			continue
		}
		out[name], out[f.JSONName()] = f, f
	}
	return out
}

// check refuses a query with a parameter that the route does not take, or takes once and is given twice: who
// misspells one would get an answer to another question.
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

// shortened bounds how much of a made-up name is shown.
func shortened(name string) string {
	const shown = 64
	if len(name) <= shown {
		return name
	}
	return strings.ToValidUTF8(name[:shown], "") + "…"
}
