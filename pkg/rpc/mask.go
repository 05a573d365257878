package rpc

import (
	"context"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/identity"
	"souk/pkg/permission"
)

// masked stands for what is not shown of a personal text.
const masked = "***"

// mask returns an answer without what only some people may see: the fields that the contract marks with `redact`. It
// masks the answers of methods whose permission the caller has in the whole marketplace, without user.read_personal: those
// of supporters and auditors, also about their own orders. What others see as customers or members of a shop stays.
func mask(ctx context.Context, reply proto.Message) proto.Message {
	if !Permitted(ctx) || identity.FromContext(ctx).Can(permission.UserReadPrivate) {
		return reply
	}
	out := proto.Clone(reply) // the answer may be shared
	maskFields(out.ProtoReflect())
	return out
}

func maskFields(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		redact, _ := proto.GetExtension(fd.Options(), optionsv1.E_Redact).(bool)
		switch {
		case redact:
			maskField(m, fd, v)
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					maskFields(v.Message())
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				maskFields(v.List().Get(i).Message())
			}
		default:
			maskFields(v.Message())
		}
		return true
	})
}

// maskField masks a text. Anything else is left out.
func maskField(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	if fd.Kind() != protoreflect.StringKind || fd.IsList() || fd.IsMap() {
		m.Clear(fd)
		return
	}
	m.Set(fd, protoreflect.ValueOfString(maskText(string(fd.Name()), v.String())))
}

// maskText masks a text by the name of its field, so that a person who knows it recognizes it: the first letter of a
// name and of an e-mail address, whose host stays, and the last two digits of a telephone number. Nothing stays of
// other texts.
func maskText(field, text string) string {
	switch {
	case text == "":
		return ""
	case field == "email":
		local, host, _ := strings.Cut(text, "@")
		return first(local) + masked + "@" + host
	case field == "name":
		words := strings.Fields(text)
		for i, word := range words {
			words[i] = first(word) + masked
		}
		return strings.Join(words, " ")
	case field == "phone" && len(text) > 4:
		return masked + text[len(text)-2:]
	}
	return masked
}

func first(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return s[:size]
}
