package rpc

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/card"
	"souk/pkg/errs"
)

// refuseCards refuses a message if a field marked with souk.options.v1.no_card holds the number of a payment card.
//
// Errors: card_number_refused.
func refuseCards(m proto.Message) error {
	fields := guardedFields(m.ProtoReflect().Descriptor())
	path := cardPath(m.ProtoReflect(), fields)
	if path == "" {
		return nil
	}
	const message = "holds a card number: send the payment provider's token instead"
	e := errs.New(errs.CardNumberRefused, "%s %s", path, message)
	e.Fields = []errs.Field{{Path: path, Message: message}}
	return e
}

// TakesFreeText reports whether some field of a message is a text that a person writes: those in which somebody might
// type a card number by mistake (souk.options.v1.no_card).
func TakesFreeText(md protoreflect.MessageDescriptor) bool {
	g := guardedFields(md)
	return len(g.texts)+len(g.messages) > 0
}

// guarded are the fields of a message that may lead to a card number.
type guarded struct {
	texts    []protoreflect.FieldDescriptor
	messages []guardedMessage
}

type guardedMessage struct {
	field  protoreflect.FieldDescriptor
	fields *guarded
}

var guardedByType sync.Map // the full name of a message to its *guarded

func guardedFields(md protoreflect.MessageDescriptor) *guarded {
	if known, ok := guardedByType.Load(md.FullName()); ok {
		return known.(*guarded) //nolint:forcetypeassert // nothing else is in the map
	}
	g := findGuarded(md, nil)
	guardedByType.Store(md.FullName(), g)
	return g
}

// findGuarded does not descend into a message that contains itself. Requests have no such messages.
func findGuarded(md protoreflect.MessageDescriptor, parents []protoreflect.FullName) *guarded {
	g := &guarded{}
	if slices.Contains(parents, md.FullName()) {
		return g
	}
	parents = append(parents, md.FullName())
	for i := range md.Fields().Len() {
		field := md.Fields().Get(i)
		value := field
		if field.IsMap() {
			value = field.MapValue()
		}
		if noCard, _ := proto.GetExtension(field.Options(), optionsv1.E_NoCard).(bool); noCard {
			g.texts = append(g.texts, field)
		} else if value.Message() != nil {
			inner := findGuarded(value.Message(), slices.Clip(parents))
			if len(inner.texts)+len(inner.messages) > 0 {
				g.messages = append(g.messages, guardedMessage{field, inner})
			}
		}
	}
	return g
}

// cardPath returns the JSON path of the first card number, or "".
func cardPath(m protoreflect.Message, g *guarded) string {
	for _, field := range g.texts {
		path := ""
		each(m, field, func(at string, v protoreflect.Value) bool {
			if card.Contains(v.String()) {
				path = at
			}
			return path == ""
		})
		if path != "" {
			return path
		}
	}
	for _, inner := range g.messages {
		path := ""
		each(m, inner.field, func(at string, v protoreflect.Value) bool {
			if path = cardPath(v.Message(), inner.fields); path != "" {
				path = at + "." + path
			}
			return path == ""
		})
		if path != "" {
			return path
		}
	}
	return ""
}

// each calls visit with the values of a field, a list or a map, and their paths, until it returns false.
func each(m protoreflect.Message, field protoreflect.FieldDescriptor, visit func(string, protoreflect.Value) bool) {
	if !m.Has(field) {
		return
	}
	name, value := field.JSONName(), m.Get(field)
	switch {
	case field.IsList():
		for i := range value.List().Len() {
			if !visit(fmt.Sprintf("%s[%d]", name, i), value.List().Get(i)) {
				return
			}
		}
	case field.IsMap():
		value.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
			return visit(name+"["+strconv.Quote(key.String())+"]", v)
		})
	default:
		visit(name, value)
	}
}
