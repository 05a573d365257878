package main

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// isRequired reports whether a request without the field is refused.
func isRequired(field protoreflect.FieldDescriptor, rules *validate.FieldRules) bool {
	if rules == nil || rules.GetIgnore() != validate.Ignore_IGNORE_UNSPECIFIED {
		return false
	}
	if rules.GetRequired() {
		return true
	}
	if field.HasPresence() { // the other rules are about a value that is there
		return false
	}
	s := rules.GetString()
	text := s.GetMinLen() > 0 || s.GetPrefix() != "" || s.GetEmail() ||
		s.HasPattern() && !matchesEmpty(s.GetPattern()) || len(s.GetIn()) > 0 && !slices.Contains(s.GetIn(), "")
	return text || rules.GetInt64().GetGte() > 0 || rules.GetInt32().GetGte() > 0 ||
		rules.GetRepeated().GetMinItems() > 0
}

func matchesEmpty(pattern string) bool {
	compiled, err := regexp.Compile(pattern)
	return err == nil && compiled.MatchString("")
}

// choices returns the values that a rule allows. In a request the empty one stands for a field that is left out.
func choices(rules *validate.FieldRules, d direction) []string {
	in := rules.GetString().GetIn()
	if items := rules.GetRepeated().GetItems(); items != nil {
		in = items.GetString().GetIn()
	}
	return slices.DeleteFunc(slices.Clone(in), func(v string) bool { return v == "" && d == request })
}

// limit writes a field's rules into its schema. It returns what only words can say.
func limit(schema object, rules *validate.FieldRules, d direction) (words string) {
	if rules == nil || schema["$ref"] != nil {
		return ""
	}
	if s := rules.GetString(); s != nil {
		limitString(schema, s)
	}
	if n := rules.GetInt32(); n != nil {
		if n.HasGte() {
			schema["minimum"] = n.GetGte()
		}
		if n.HasLte() {
			schema["maximum"] = n.GetLte()
		}
	}
	if n := rules.GetInt64(); n != nil && d == request {
		if n.HasGte() {
			schema["minimum"] = n.GetGte()
			words += fmt.Sprintf(" At least %d.", n.GetGte())
		}
		if n.HasLte() && n.GetLte() < math.MaxInt64 {
			schema["maximum"] = n.GetLte()
			words += fmt.Sprintf(" At most %d.", n.GetLte())
		}
	}
	if r := rules.GetRepeated(); r != nil {
		if r.HasMinItems() {
			schema["minItems"] = r.GetMinItems()
		}
		if r.HasMaxItems() {
			schema["maxItems"] = r.GetMaxItems()
		}
		if items, ok := schema["items"].(object); ok {
			words += limit(items, r.GetItems(), d)
		}
	}
	if m := rules.GetMap(); m != nil && m.HasMaxPairs() {
		schema["maxProperties"] = m.GetMaxPairs()
	}
	return words
}

func limitString(schema object, s *validate.StringRules) {
	if s.HasMinLen() {
		schema["minLength"] = s.GetMinLen()
	}
	if s.HasMaxLen() {
		schema["maxLength"] = s.GetMaxLen()
	}
	if s.HasPattern() {
		schema["pattern"] = s.GetPattern()
	}
	if s.HasPrefix() {
		schema["pattern"] = "^" + regexp.QuoteMeta(s.GetPrefix())
	}
	if s.GetEmail() {
		schema["format"] = "email"
	}
}

// parse reads an example that is no text: a number or a JSON object.
func parse(example string) any {
	if strings.TrimSpace(example) == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(example), &v); err != nil {
		return nil
	}
	return v
}
