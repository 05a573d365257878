package rest

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// location is the path of a created resource, as a contract's option souk.options.v1.location describes it: fixed text
// around one text field of the response.
type location struct {
	before, after string
	field         []protoreflect.FieldDescriptor // the way to the field, from the response; empty: the path is fixed
}

// locationOf parses the option of a method. It returns nil for a method without the option.
func locationOf(template string, response protoreflect.MessageDescriptor) (*location, error) {
	if template == "" {
		return nil, nil
	}
	before, rest, open := strings.Cut(template, "{")
	name, after, closed := strings.Cut(rest, "}")
	if open != closed || strings.ContainsAny(before+after, "{}") {
		return nil, fmt.Errorf("location %q: want at most one field, in braces", template)
	}
	l := &location{before: before, after: after}
	if !open {
		return l, nil
	}
	message := response
	for part := range strings.SplitSeq(name, ".") {
		if message == nil {
			return nil, fmt.Errorf("location %q: %s has no fields", template, l.field[len(l.field)-1].Name())
		}
		field := message.Fields().ByName(protoreflect.Name(part))
		if field == nil || field.IsList() || field.IsMap() {
			return nil, fmt.Errorf("location %q: %s has no single field %q", template, message.Name(), part)
		}
		l.field = append(l.field, field)
		message = field.Message()
	}
	if last := l.field[len(l.field)-1]; last.Kind() != protoreflect.StringKind {
		return nil, fmt.Errorf("location %q: %s is not a text", template, last.Name())
	}
	return l, nil
}

// of returns the path of the resource in a response.
func (l *location) of(response proto.Message) string {
	if len(l.field) == 0 {
		return l.before
	}
	m := response.ProtoReflect()
	last := len(l.field) - 1
	for _, field := range l.field[:last] {
		m = m.Get(field).Message()
	}
	return l.before + m.Get(l.field[last]).String() + l.after
}

// wrapper returns the name of the field that holds the resource in an answer which is the whole response, or "".
func (l *location) wrapper() string {
	if len(l.field) < 2 {
		return ""
	}
	return l.field[0].JSONName()
}
