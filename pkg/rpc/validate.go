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

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/errs"
)

// Validate checks a message against the rules in its contract. It refuses a card number in a field with
// souk.options.v1.no_card, and U+0000 in any text. The error lists the JSON path of each invalid field, e.g.
// "shippingAddress.countryCode" or "variants[0].sku".
//
// Errors: card_number_refused, invalid_argument.
func Validate(m proto.Message) error {
	if err := refuseCards(m); err != nil {
		return err
	}
	err := protovalidate.Validate(m)
	if err == nil {
		return checkText(m.ProtoReflect())
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return errs.Wrap(err, errs.Internal, "the request cannot be checked")
	}
	e := errs.New(errs.Invalid, "the request is not valid")
	for _, v := range invalid.Violations {
		e.Fields = append(e.Fields, errs.Field{
			Path:    jsonPath(m.ProtoReflect().Descriptor(), v.Proto.GetField()),
			Message: violationMessage(v),
		})
	}
	if len(e.Fields) > 0 {
		e.Message = strings.TrimPrefix(e.Fields[0].Path+": ", ": ") + e.Fields[0].Message
	}
	return e
}

// violationMessage describes, for the client, what a field must be. protovalidate's own messages address the author
// of the rule.
func violationMessage(v *protovalidate.Violation) string {
	switch rule := v.Proto.GetRuleId(); {
	case rule == "required" && v.FieldDescriptor != nil:
		return "is required"
	case rule == "string.pattern":
		return patternMessage(v.FieldDescriptor)
	case rule == "string.in" && v.RuleValue.IsValid():
		return choiceMessage(v.RuleValue.List())
	case rule == "string.prefix" && v.RuleValue.IsValid():
		return "must begin with " + v.RuleValue.String()
	case rule == "string.min_len" && v.RuleValue.IsValid() && v.RuleValue.Uint() == 1:
		return "must not be empty"
	}
	if m := v.Proto.GetMessage(); m != "" {
		return m
	}
	return "breaks the rule " + v.Proto.GetRuleId()
}

// patternMessage describes a field's pattern in the words of its contract (souk.options.v1.form).
func patternMessage(fd protoreflect.FieldDescriptor) string {
	if fd != nil {
		if form, ok := proto.GetExtension(fd.Options(), optionsv1.E_Form).(string); ok && form != "" {
			return "must be " + form
		}
	}
	return "does not have the right form"
}

// choiceMessage lists the allowed values of a field.
func choiceMessage(choices protoreflect.List) string {
	var values []string
	empty := ""
	for i := range choices.Len() {
		if value := choices.Get(i).String(); value != "" {
			values = append(values, value)
		} else {
			empty = "empty or "
		}
	}
	return "must be " + empty + "one of " + strings.Join(values, ", ")
}

// jsonPath returns a field path with JSON names.
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
			b.WriteString(e.GetFieldName()) // a oneof or an extension, which has no JSON name
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

// warm compiles the validation rules of a method's request. The first call does not pay for it, and an invalid rule
// is found at startup.
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
