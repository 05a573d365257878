package rpc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"souk/pkg/errs"
)

// Validate checks a message against the rules in its contract. What is wrong is errs.Invalid, with
// the JSON path of each field, e.g. "shippingAddress.countryCode" or "variants[0].sku".
func Validate(m proto.Message) error {
	err := protovalidate.Validate(m)
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return errs.Wrap(err, errs.Internal, "the request cannot be checked")
	}
	e := errs.New(errs.Invalid, "the request is not valid")
	for _, v := range invalid.Violations {
		e.Fields = append(e.Fields, errs.Field{
			Path:    jsonPath(m.ProtoReflect().Descriptor(), v.Proto.GetField()),
			Message: violationMessage(v.Proto),
		})
	}
	if len(e.Fields) > 0 {
		e.Message = strings.TrimPrefix(e.Fields[0].Path+": ", ": ") + e.Fields[0].Message
	}
	return e
}

func violationMessage(v *validate.Violation) string {
	if m := v.GetMessage(); m != "" {
		return m
	}
	return "breaks the rule " + v.GetRuleId()
}

// jsonPath writes a field path as JSON names it.
func jsonPath(md protoreflect.MessageDescriptor, path *validate.FieldPath) string {
	var b strings.Builder
	for _, e := range path.GetElements() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		var fd protoreflect.FieldDescriptor
		if md != nil {
			fd = md.Fields().ByNumber(protoreflect.FieldNumber(e.GetFieldNumber()))
		}
		md = nil
		if fd == nil {
			b.WriteString(e.GetFieldName()) // a oneof or an extension: JSON has no other name for it
		} else {
			b.WriteString(fd.JSONName())
			if fd.IsMap() {
				fd = fd.MapValue()
			}
			md = fd.Message()
		}
		switch key := e.GetSubscript().(type) {
		case *validate.FieldPathElement_Index:
			fmt.Fprintf(&b, "[%d]", key.Index)
		case *validate.FieldPathElement_BoolKey:
			fmt.Fprintf(&b, "[%t]", key.BoolKey)
		case *validate.FieldPathElement_IntKey:
			fmt.Fprintf(&b, "[%d]", key.IntKey)
		case *validate.FieldPathElement_UintKey:
			fmt.Fprintf(&b, "[%d]", key.UintKey)
		case *validate.FieldPathElement_StringKey:
			b.WriteString("[" + strconv.Quote(key.StringKey) + "]")
		}
	}
	return b.String()
}

// warm compiles the rules of a method's request, so that the first call does not pay for it and a
// wrong rule is found at the start.
func warm(m Method) error {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(m.input.FullName())
	if err != nil {
		return fmt.Errorf("the request of %s: %w", m.FullMethod, err)
	}
	var broken *protovalidate.CompilationError
	if err := protovalidate.Validate(mt.New().Interface()); errors.As(err, &broken) {
		return fmt.Errorf("the rules of %s: %w", m.input.FullName(), err)
	}
	return nil
}
