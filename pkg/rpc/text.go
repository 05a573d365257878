package rpc

import (
	"fmt"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/pkg/errs"
)

// checkText refuses a message with U+0000 in a text, since PostgreSQL stores every character but that one. Elements of
// a list that the contract leaves to the service (IGNORE_ALWAYS) are left to it here, too.
//
// Errors: invalid_argument (the first such field).
func checkText(m protoreflect.Message) error {
	if path := nulField(m); path != "" {
		return errs.InvalidField(path, "must not contain the character U+0000")
	}
	return nil
}

// nulField returns the JSON path of a text with U+0000 in m, or "".
func nulField(m protoreflect.Message) (path string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			path = nulEntry(fd, v.Map())
		case fd.IsList():
			path = nulElement(fd, v.List())
		default:
			path = nulValue(fd, v, fd.JSONName())
		}
		return path == ""
	})
	return path
}

func nulEntry(fd protoreflect.FieldDescriptor, m protoreflect.Map) (path string) {
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		at := fd.JSONName() + "[" + strconv.Quote(k.String()) + "]"
		if path = nulValue(fd.MapKey(), k.Value(), at); path == "" {
			path = nulValue(fd.MapValue(), v, at)
		}
		return path == ""
	})
	return path
}

func nulElement(fd protoreflect.FieldDescriptor, l protoreflect.List) string {
	if fd.Kind() != protoreflect.StringKind && fd.Message() == nil || leftToService(fd) {
		return ""
	}
	for i := range l.Len() {
		if path := nulValue(fd, l.Get(i), fmt.Sprintf("%s[%d]", fd.JSONName(), i)); path != "" {
			return path
		}
	}
	return ""
}

// nulValue looks into one value of fd, which stands at the path at.
func nulValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, at string) string {
	switch {
	case fd.Kind() == protoreflect.StringKind:
		if strings.IndexByte(v.String(), 0) >= 0 {
			return at
		}
	case fd.Message() != nil:
		if path := nulField(v.Message()); path != "" {
			return at + "." + path
		}
	}
	return ""
}

// leftToService reports whether the contract leaves the validation of a list's elements to the service.
func leftToService(fd protoreflect.FieldDescriptor) bool {
	rules, ok := proto.GetExtension(fd.Options(), validate.E_Field).(*validate.FieldRules)
	return ok && rules.GetRepeated().GetItems().GetIgnore() == validate.Ignore_IGNORE_ALWAYS
}
