package jsonpb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"souk/pkg/errs"
)

// maxEcho is how many bytes of a name from a request an error shows.
const maxEcho = 64

// diagnose returns the error for data that protojson refused, with the invalid field. protojson's own error
// is neither for clients nor for logs: it gives line and column, and repeats the input, which may be long or
// secret.
func diagnose(data []byte, md protoreflect.MessageDescriptor) *errs.Error {
	if !utf8.Valid(data) {
		return errs.New(errs.Invalid, "the body is not valid UTF-8")
	}
	var anything json.RawMessage
	if err := json.Unmarshal(data, &anything); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return errs.New(errs.Invalid, "the body is not valid JSON, at byte %d", syntax.Offset)
		}
		return errs.New(errs.Invalid, "the body is not valid JSON")
	}
	violation := wrongMessage(md, anything, "")
	if violation == nil {
		return errs.New(errs.Invalid, "the body does not have the right form")
	}
	if violation.Path == "" {
		return errs.New(errs.Invalid, "the body %s", violation.Message)
	}
	return invalid(*violation)
}

// wrongMessage finds the first mistake in data, which is valid JSON, as a message. It returns nil if it finds
// none.
func wrongMessage(md protoreflect.MessageDescriptor, data []byte, path string) *errs.Field {
	if known := knownForm(md); known != "" {
		return &errs.Field{Path: path, Message: "must be " + known}
	}
	members, ok := splitObject(data)
	if !ok {
		return &errs.Field{Path: path, Message: "must be an object"}
	}
	seen := map[protoreflect.FieldNumber]bool{}
	oneofs := map[protoreflect.Name]bool{}
	for _, member := range members {
		fd := md.Fields().ByJSONName(member.name)
		if fd == nil {
			fd = md.Fields().ByTextName(member.name)
		}
		if fd == nil {
			return &errs.Field{Path: join(path, shorten(member.name)), Message: "there is no such field"}
		}
		at := join(path, fd.JSONName())
		if seen[fd.Number()] {
			return &errs.Field{Path: at, Message: "is given twice"}
		}
		seen[fd.Number()] = true
		if oneof := fd.ContainingOneof(); oneof != nil && !isNull(member.value) {
			if oneofs[oneof.Name()] {
				return &errs.Field{Path: at, Message: fmt.Sprintf("only one field of %s may be given", oneof.Name())}
			}
			oneofs[oneof.Name()] = true
		}
		if fits(md, fd, member.value) {
			continue
		}
		return wrongField(md, fd, member.value, at)
	}
	return nil
}

// wrongField finds the mistake in data, which is not valid for fd.
func wrongField(
	md protoreflect.MessageDescriptor, fd protoreflect.FieldDescriptor, data []byte, path string,
) *errs.Field {
	switch {
	case fd.IsList():
		var elements []json.RawMessage
		if json.Unmarshal(data, &elements) != nil {
			return &errs.Field{Path: path, Message: "must be a list"}
		}
		for i, element := range elements {
			if !fits(md, fd, concat("[", element, "]")) {
				return wrongValue(fd, element, path+"["+strconv.Itoa(i)+"]")
			}
		}
		return &errs.Field{Path: path, Message: "must be a list"}
	case fd.IsMap():
		entries, ok := splitObject(data)
		if !ok {
			return &errs.Field{Path: path, Message: "must be an object"}
		}
		seen := map[string]bool{}
		for _, entry := range entries {
			at := join(path, shorten(entry.name))
			if seen[entry.name] {
				return &errs.Field{Path: at, Message: "is given twice"}
			}
			seen[entry.name] = true
			name, err := json.Marshal(entry.name)
			if err != nil || !fits(md, fd, concat("{", name, ":", entry.value, "}")) {
				return wrongValue(fd.MapValue(), entry.value, at)
			}
		}
		return &errs.Field{Path: path, Message: "must be an object"}
	default:
		return wrongValue(fd, data, path)
	}
}

func wrongValue(fd protoreflect.FieldDescriptor, data []byte, path string) *errs.Field {
	if fd.Message() != nil {
		if violation := wrongMessage(fd.Message(), data, path); violation != nil {
			return violation
		}
	}
	return &errs.Field{Path: path, Message: "must be " + form(fd)}
}

// fits reports whether protojson accepts data as the value of fd.
func fits(md protoreflect.MessageDescriptor, fd protoreflect.FieldDescriptor, data []byte) bool {
	name, err := json.Marshal(fd.JSONName())
	if err != nil {
		return false
	}
	return strict.Unmarshal(concat("{", name, ":", data, "}"), dynamicpb.NewMessage(md)) == nil
}

func form(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BytesKind:
		return "a string in base64"
	case protoreflect.EnumKind:
		return "the name of a value of " + string(fd.Enum().Name())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "an integer of 32 bits"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "an integer of 64 bits"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "an integer of 32 bits, not negative"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "an integer of 64 bits, not negative"
	default:
		return "an object"
	}
}

// knownForm describes the form of a message whose JSON is not an object of its fields. For other messages it
// returns "".
func knownForm(md protoreflect.MessageDescriptor) string {
	if md.ParentFile().Package() != "google.protobuf" {
		return ""
	}
	switch md.Name() {
	case "Timestamp":
		return `a time like "2026-01-31T13:45:00Z"`
	case "Duration":
		return `a duration in seconds like "1.5s"`
	case "FieldMask":
		return "names of fields, separated by commas"
	default:
		return "a valid " + string(md.Name())
	}
}

type member struct {
	name  string
	value json.RawMessage
}

// splitObject returns the members of a JSON object in their order. It returns false if data is not an object.
func splitObject(data []byte) ([]member, bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, false
	}
	var members []member
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		m := member{name: token.(string)}
		if err := decoder.Decode(&m.value); err != nil {
			return nil, false
		}
		members = append(members, m)
	}
	return members, true
}

func isNull(data []byte) bool { return string(bytes.TrimSpace(data)) == "null" }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shorten truncates a name from a request to at most maxEcho bytes.
func shorten(name string) string {
	if len(name) <= maxEcho {
		return name
	}
	cut := maxEcho
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}

// concat joins strings and byte slices.
func concat(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			b = append(b, part...)
		case json.RawMessage:
			b = append(b, part...)
		case []byte:
			b = append(b, part...)
		}
	}
	return b
}
