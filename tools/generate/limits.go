package main

import (
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// rulesOf returns the protovalidate rules of a field, or nil if it has none.
func rulesOf(field protoreflect.FieldDescriptor) (*validate.FieldRules, error) {
	// The compiler keeps custom options as dynamic messages, so that they must be decoded again.
	data, err := proto.Marshal(field.Options())
	if err != nil {
		return nil, err
	}
	options := new(descriptorpb.FieldOptions)
	if err := proto.Unmarshal(data, options); err != nil {
		return nil, err
	}
	rules, ok := proto.GetExtension(options, validate.E_Field).(*validate.FieldRules)
	if !ok {
		return nil, nil
	}
	return rules, nil
}

// limitMessage writes a message's rules into its schema.
func limitMessage(schema object, message protoreflect.MessageDescriptor) error {
	properties, _ := schema["properties"].(object)
	var required []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		property, ok := properties[field.JSONName()].(object)
		if !ok {
			continue
		}
		rules, err := rulesOf(field)
		if err != nil {
			return fmt.Errorf("%s: %w", field.FullName(), err)
		}
		limit(property, rules)
		if isRequired(rules) {
			required = append(required, field.JSONName())
		}
	}
	if len(required) > 0 {
		slices.Sort(required)
		schema["required"] = required
	}
	return nil
}

// isRequired reports whether a request without the field is refused.
func isRequired(rules *validate.FieldRules) bool {
	if rules.GetIgnore() != validate.Ignore_IGNORE_UNSPECIFIED {
		return false
	}
	s := rules.GetString()
	return rules.GetRequired() || s.GetMinLen() > 0 || len(s.GetIn()) > 0 && !slices.Contains(s.GetIn(), "") ||
		rules.GetInt64().GetGte() > 0 || rules.GetInt32().GetGte() > 0 || rules.GetRepeated().GetMinItems() > 0
}

// limit writes a field's rules into its schema.
func limit(schema object, rules *validate.FieldRules) {
	if rules == nil || schema["$ref"] != nil {
		return
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
	// An int64 is a string in JSON, so that its limits can only be given in the description.
	if n := rules.GetInt64(); n != nil && (n.HasGte() || n.HasLte()) {
		text := ""
		if n.HasGte() {
			text += fmt.Sprintf(" At least %d.", n.GetGte())
		}
		if n.HasLte() {
			text += fmt.Sprintf(" At most %d.", n.GetLte())
		}
		old, _ := schema["description"].(string)
		schema["description"] = strings.TrimSpace(old + text)
	}
	if r := rules.GetRepeated(); r != nil {
		if r.HasMinItems() {
			schema["minItems"] = r.GetMinItems()
		}
		if r.HasMaxItems() {
			schema["maxItems"] = r.GetMaxItems()
		}
		if items, ok := schema["items"].(object); ok {
			limit(items, r.GetItems())
		}
	}
	if m := rules.GetMap(); m != nil && m.HasMaxPairs() {
		schema["maxProperties"] = m.GetMaxPairs()
	}
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
	if in := s.GetIn(); len(in) > 0 {
		schema["enum"] = in
	}
	if s.GetEmail() {
		schema["format"] = "email"
	}
}

// limitAll writes all rules of the contracts into the document.
func (c *contracts) limitAll(d *openAPI) error {
	var walk func(messages protoreflect.MessageDescriptors) error
	walk = func(messages protoreflect.MessageDescriptors) error {
		for i := range messages.Len() {
			m := messages.Get(i)
			if schema, ok := d.Components["schemas"][string(m.FullName())].(object); ok {
				if err := limitMessage(schema, m); err != nil {
					return err
				}
			}
			if err := walk(m.Messages()); err != nil {
				return err
			}
		}
		return nil
	}
	for _, file := range c.linked {
		if err := walk(file.Messages()); err != nil {
			return err
		}
	}
	return nil
}

// limitOperation writes the rules of a method's request into its parameters and body.
func limitOperation(operation object, m method) error {
	input := m.descriptor.Input()
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		parameter := p.(object)
		name, _ := parameter["name"].(string)
		field := input.Fields().ByJSONName(name)
		schema, ok := parameter["schema"].(object)
		if field == nil || !ok {
			continue
		}
		rules, err := rulesOf(field)
		if err != nil {
			return err
		}
		limit(schema, rules)
	}
	if body, ok := operation["requestBody"].(object); ok {
		if content, ok := body["content"].(object)["application/json"].(object); ok {
			if schema, ok := content["schema"].(object); ok && schema["$ref"] == nil {
				return limitMessage(schema, input)
			}
		}
	}
	return nil
}
