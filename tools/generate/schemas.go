package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// direction says whether a schema describes what a client sends or what it gets. Both may differ: a field that an
// answer always has may be left out of a request.
type direction int

const (
	answer direction = iota
	request
)

// schemas collects the document's schemas.
type schemas struct {
	contracts *contracts
	byName    map[string]object
	owners    map[string]protoreflect.FullName
	answered  map[protoreflect.FullName]bool // messages that answers have
	different map[protoreflect.FullName]bool // see differs
	problems  []error
	reported  map[protoreflect.FullName]bool
}

func newSchemas(c *contracts, methods []method) *schemas {
	s := &schemas{
		contracts: c, byName: map[string]object{}, owners: map[string]protoreflect.FullName{},
		answered: map[protoreflect.FullName]bool{}, different: map[protoreflect.FullName]bool{},
		reported: map[protoreflect.FullName]bool{},
	}
	for _, m := range methods {
		if len(m.routes) > 0 {
			s.addAnswered(m.descriptor.Output())
		}
	}
	for _, m := range s.details() {
		s.addAnswered(m)
	}
	return s
}

// problemDetails are the messages that a problem may have, as the member that is named after the message. See
// errs.Error.Detail.
var problemDetails = []protoreflect.FullName{"souk.order.v1.Quote"}

// details returns those of problemDetails that the contracts have.
func (s *schemas) details() []protoreflect.MessageDescriptor {
	var out []protoreflect.MessageDescriptor
	for _, name := range problemDetails {
		for _, file := range s.contracts.linked {
			if m, ok := file.FindDescriptorByName(name).(protoreflect.MessageDescriptor); ok {
				out = append(out, m)
			}
		}
	}
	return out
}

func (s *schemas) addAnswered(m protoreflect.MessageDescriptor) {
	if s.answered[m.FullName()] {
		return
	}
	s.answered[m.FullName()] = true
	for i := range m.Fields().Len() {
		if inner := m.Fields().Get(i).Message(); inner != nil {
			s.addAnswered(inner)
		}
	}
}

func (s *schemas) components() object {
	problem := problemSchema()
	for _, m := range s.details() {
		reference, example := s.message(m, answer)
		reference["description"], reference["examples"] = s.describeMessage(m), []any{example}
		name := string(m.Name())
		problem["properties"].(object)[strings.ToLower(name[:1])+name[1:]] = reference //nolint:forcetypeassert // see problemSchema
	}
	all := object{"Problem": problem, "FieldProblem": fieldProblemSchema()}
	for name, schema := range s.byName {
		all[name] = schema
	}
	return all
}

func (s *schemas) problem(err error) { s.problems = append(s.problems, err) }

// fieldOptions are the options of a field that the document shows.
type fieldOptions struct {
	rules   *validate.FieldRules
	example string
	always  bool
	noCard  bool
}

func (s *schemas) options(field protoreflect.FieldDescriptor) fieldOptions {
	var out fieldOptions
	// The compiler keeps custom options in a form of its own. Decode them again, ours as dynamic messages.
	data, err := proto.Marshal(field.Options())
	if err != nil {
		s.problem(fmt.Errorf("%s: %w", field.FullName(), err))
		return out
	}
	linked, own := new(descriptorpb.FieldOptions), new(descriptorpb.FieldOptions)
	err = errors.Join(proto.Unmarshal(data, linked),
		proto.UnmarshalOptions{Resolver: s.contracts.linked.AsResolver()}.Unmarshal(data, own))
	if err != nil {
		s.problem(fmt.Errorf("%s: %w", field.FullName(), err))
		return out
	}
	out.rules, _ = proto.GetExtension(linked, validate.E_Field).(*validate.FieldRules)
	own.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch fd.FullName() {
		case "souk.options.v1.example":
			out.example = v.String()
		case "souk.options.v1.always_answered":
			out.always = v.Bool()
		case "souk.options.v1.no_card":
			out.noCard = v.Bool()
		}
		return true
	})
	return out
}

// guarded reports whether a message has a field that must not hold a card number.
func (s *schemas) guarded(message protoreflect.MessageDescriptor, depth int) bool {
	const deepest = 8
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		inner := field.Message()
		if s.options(field).noCard || inner != nil && depth < deepest && s.guarded(inner, depth+1) {
			return true
		}
	}
	return false
}

// answer returns a reference to the schema of a method's answer, and an example.
func (s *schemas) answer(m method, r route) (reference object, example any) {
	output := m.descriptor.Output()
	if r.responseBody == "" {
		return s.message(output, answer)
	}
	field := output.Fields().ByName(protoreflect.Name(r.responseBody))
	if field == nil || field.Message() == nil || field.IsList() {
		s.problem(fmt.Errorf("%s: response_body must name a message", m.descriptor.FullName()))
		return nil, nil
	}
	return s.message(field.Message(), answer)
}

// body returns a reference to the schema of a request's body, without the fields that its path has, and an example.
func (s *schemas) body(input protoreflect.MessageDescriptor, inPath []string) (reference object, example any) {
	schema, value := s.object(input, request, inPath)
	schema["additionalProperties"] = false
	name := string(input.Name())
	s.byName[name] = schema
	return object{"$ref": "#/components/schemas/" + name}, value
}

// message returns a reference to the schema of a message, and an example. A message that both requests and answers
// have, in different forms, has two schemas: the one for requests is called {Name}Input, that of {Name}Input in answers
// {Name}Output.
func (s *schemas) message(m protoreflect.MessageDescriptor, d direction) (reference object, example any) {
	name := string(m.Name())
	schema, value := s.object(m, d, nil)
	if owner, taken := s.owners[name]; taken && owner != m.FullName() {
		service := string(m.ParentFile().Package().Parent().Name())
		name = strings.ToUpper(service[:1]) + service[1:] + name // e.g. CartLine
	}
	if s.answered[m.FullName()] && s.differs(m) {
		plain, isInput := strings.CutSuffix(name, "Input")
		switch {
		case d == request && !isInput:
			name += "Input"
		case d == answer && isInput:
			name = plain + "Output"
		}
	}
	s.owners[name] = m.FullName()
	s.byName[name] = schema
	return object{"$ref": "#/components/schemas/" + name}, value
}

// object returns the schema of a message without some of its fields, and an example.
func (s *schemas) object(
	m protoreflect.MessageDescriptor, d direction, without []string,
) (schema object, example map[string]any) {
	properties, required := object{}, []string{}
	example = map[string]any{}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if slices.Contains(without, string(field.Name())) {
			continue
		}
		property, description := s.property(field, d)
		property["description"] = description
		properties[field.JSONName()] = property
		if values, ok := property["examples"].([]any); ok {
			example[field.JSONName()] = values[0]
		}
		options := s.options(field)
		if d == request && isRequired(field, options.rules) || d == answer && isAlwaysAnswered(field, options) {
			required = append(required, field.JSONName())
		}
	}
	schema = object{"type": "object", "properties": properties, "description": s.describeMessage(m)}
	if len(required) > 0 {
		slices.Sort(required)
		schema["required"] = required
	}
	schema["examples"] = []any{example}
	return schema, example
}

func (s *schemas) describeMessage(m protoreflect.MessageDescriptor) string {
	if text := sentence(m); text != "" {
		return text
	}
	return "The message " + string(m.Name()) + "."
}

// isAlwaysAnswered reports whether an answer always has the field: fields without `optional` are written even if they
// are empty (ADR 0006), and a message without `optional` is always set.
func isAlwaysAnswered(field protoreflect.FieldDescriptor, o fieldOptions) bool {
	return o.always || !field.HasOptionalKeyword() && field.ContainingOneof() == nil
}

// idPrefix finds the form of an identifier in a comment: "ord_…".
var idPrefix = regexp.MustCompile(`"([a-z]+_)…"`)

// property returns the schema of a field, with an example, and its description.
func (s *schemas) property(field protoreflect.FieldDescriptor, d direction) (schema object, description string) {
	options := s.options(field)
	common := fieldsByName[string(field.Name())]
	description = comment(field)
	if description == "" {
		description = common.description
	}
	if description == "" && field.Message() != nil && !field.IsMap() {
		description = sentence(field.Message())
	}
	var missing []string
	if description == "" {
		missing = append(missing, "a comment")
	}
	exampleText := options.example
	if exampleText == "" {
		exampleText = common.example
	}
	if prefix := idPrefix.FindStringSubmatch(description); prefix != nil && options.example == "" {
		exampleText = prefix[1] + exampleOfID
	}
	var example any
	switch {
	case field.IsMap():
		var values any
		switch m := field.MapValue().Message(); {
		case m == nil:
			values = scalar(field.MapValue(), d)
		case m.FullName() == anyValue:
			values = object{}
		default:
			values, _ = s.message(m, d)
		}
		schema = object{"type": "object", "additionalProperties": values}
		example = parse(exampleText)
	case field.IsList():
		items, one := s.single(field, d, options, exampleText)
		schema = object{"type": "array", "items": items}
		if one != nil {
			example = []any{one}
		}
	default:
		schema, example = s.single(field, d, options, exampleText)
	}
	description += limit(schema, options.rules, d)
	if example == nil {
		missing = append(missing, "the option (souk.options.v1.example)")
	}
	if len(missing) > 0 && !s.reported[field.FullName()] {
		s.reported[field.FullName()] = true
		for _, what := range missing {
			s.problem(
				fmt.Errorf("%s needs %s, or a line for its name in tools/generate/fields.go", field.FullName(), what),
			)
		}
	}
	schema["examples"] = []any{example}
	return schema, description
}

// single returns the schema of one value of a field, and an example.
func (s *schemas) single(
	field protoreflect.FieldDescriptor, d direction, options fieldOptions, text string,
) (schema object, example any) {
	switch m := field.Message(); {
	case m == nil, m.FullName() == timestamp, m.FullName() == fieldMask:
	case m.FullName() == anyValue:
		return object{}, parse(text)
	default:
		return s.message(m, d)
	}
	schema = scalar(field, d)
	values := choices(options.rules, d)
	if len(values) > 0 {
		schema["enum"] = values
		if !slices.Contains(values, text) {
			text = values[0]
		}
	}
	switch {
	case field.Message() != nil && field.Message().FullName() == timestamp:
		return schema, "2026-11-29T12:00:00Z"
	case field.Kind() == protoreflect.BoolKind:
		return schema, true
	case text == "" && !slices.Contains(values, ""):
		return schema, nil
	case field.Kind() == protoreflect.StringKind, field.Kind() == protoreflect.MessageKind:
		return schema, text
	case is64Bit(field.Kind()) && d == answer:
		return schema, text
	default:
		return schema, parse(text)
	}
}

// Messages that are texts in JSON, and the one that is any value.
const (
	timestamp protoreflect.FullName = "google.protobuf.Timestamp"
	fieldMask protoreflect.FullName = "google.protobuf.FieldMask"
	anyValue  protoreflect.FullName = "google.protobuf.Value"
)

// scalar returns the schema of a value that is no message of ours.
func scalar(field protoreflect.FieldDescriptor, d direction) object {
	switch kind := field.Kind(); {
	case kind == protoreflect.BoolKind:
		return object{"type": "boolean"}
	case is64Bit(kind) && d == request:
		return object{"type": []string{"integer", "string"}, "format": "int64"}
	case is64Bit(kind):
		return object{"type": "string", "format": "int64"}
	case kind == protoreflect.Int32Kind, kind == protoreflect.Uint32Kind:
		return object{"type": "integer", "format": "int32"}
	case kind == protoreflect.DoubleKind:
		return object{"type": "number", "format": "double"}
	case kind == protoreflect.FloatKind:
		return object{"type": "number", "format": "float"}
	case kind == protoreflect.MessageKind && field.Message().FullName() == timestamp:
		return object{"type": "string", "format": "date-time"}
	default:
		return object{"type": "string"}
	}
}

func is64Bit(kind protoreflect.Kind) bool {
	return kind == protoreflect.Int64Kind || kind == protoreflect.Uint64Kind
}

// differs reports whether a message has different schemas in requests and answers.
func (s *schemas) differs(m protoreflect.MessageDescriptor) bool {
	if known, ok := s.different[m.FullName()]; ok {
		return known
	}
	text := func(d direction) string {
		scratch := *s
		scratch.byName, scratch.owners = map[string]object{}, map[string]protoreflect.FullName{}
		schema, _ := scratch.object(m, d, nil)
		delete(schema, "examples")
		return fmt.Sprint(schema)
	}
	s.different[m.FullName()] = text(answer) != text(request)
	return s.different[m.FullName()]
}
