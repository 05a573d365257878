package main

import (
	"strconv"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const runtimePackage = protogen.GoImportPath("souk/pkg/jsonpb")

// generator writes one file.
type generator struct {
	out       *protogen.GeneratedFile
	generated map[protogen.GoImportPath]bool
	// pending is literal text that has not been written yet. Consecutive literals are written as one.
	pending string
}

// comma is whether the next member of an object needs a comma before it.
type comma int

const (
	never  comma = iota // the object is empty
	always              // a member has been written
	maybe               // all members before it are optional
)

func (g *generator) message(m *protogen.Message) {
	if m.Desc.IsMapEntry() {
		return
	}
	g.out.P()
	g.out.P(
		"// AppendJSON appends x as protojson would write it with EmitDefaultValues; nil if protojson would refuse it.",
	)
	g.out.P("func (x *", m.GoIdent, ") AppendJSON(b []byte) []byte {")
	if len(m.Fields) > 0 {
		g.out.P("if x == nil {")
		g.out.P("x = new(", m.GoIdent, ")")
		g.out.P("}")
	}
	g.literal("{")
	before := never
	for _, field := range m.Fields {
		before = g.field(field, before)
	}
	g.literal("}")
	g.flush()
	g.out.P("return b")
	g.out.P("}")
	for _, nested := range m.Messages {
		g.message(nested)
	}
}

// field writes one member of the object and returns the comma state for the next.
func (g *generator) field(field *protogen.Field, before comma) comma {
	name := strconv.Quote(field.Desc.JSONName()) + ":"
	value := "x." + field.GoName
	switch {
	case field.Desc.IsList():
		g.member(name, before)
		g.list(field, value)
		return always
	case field.Desc.IsMap():
		g.member(name, before)
		g.mapping(field, value)
		return always
	case !field.Desc.HasPresence():
		g.member(name, before)
		g.value(field, value)
		return always
	}

	g.flush()
	switch {
	case field.Oneof != nil && !field.Oneof.Desc.IsSynthetic():
		g.out.P("if v, ok := x.", field.Oneof.GoName, ".(*", field.GoIdent, "); ok && v != nil {")
		value = "v." + field.GoName
	case field.Message != nil, field.Desc.Kind() == protoreflect.BytesKind:
		g.out.P("if ", value, " != nil {")
	default:
		g.out.P("if ", value, " != nil {")
		value = "*" + value
	}
	g.member(name, before)
	g.value(field, value)
	g.flush()
	g.out.P("}")
	if before == always {
		return always
	}
	return maybe
}

// member writes a member's name.
func (g *generator) member(name string, before comma) {
	switch before {
	case always:
		g.literal(",")
	case maybe:
		g.flush()
		g.out.P("if b[len(b)-1] != '{' {")
		g.out.P("b = append(b, ',')")
		g.out.P("}")
	}
	g.literal(name)
}

func (g *generator) list(field *protogen.Field, value string) {
	g.literal("[")
	g.flush()
	g.out.P("for i, v := range ", value, " {")
	g.out.P("if i > 0 {")
	g.out.P("b = append(b, ',')")
	g.out.P("}")
	g.value(field, "v")
	g.flush()
	g.out.P("}")
	g.literal("]")
}

func (g *generator) mapping(field *protogen.Field, value string) {
	key, val := field.Message.Fields[0], field.Message.Fields[1]
	g.literal("{")
	g.flush()
	if key.Desc.Kind() == protoreflect.BoolKind {
		g.out.P("for i, k := range [2]bool{false, true} {")
		g.out.P("v, ok := ", value, "[k]")
		g.out.P("if !ok {")
		g.out.P("continue")
		g.out.P("}")
		g.out.P("if i > 0 && b[len(b)-1] != '{' {")
	} else {
		g.out.P("if len(", value, ") > 0 {")
		g.out.P("var room [8]", keyType(key.Desc.Kind()))
		g.out.P("for i, k := range ", g.runtime("SortedKeys"), "(room[:0], ", value, ") {")
		g.out.P("v := ", value, "[k]")
		g.out.P("if i > 0 {")
	}
	g.out.P("b = append(b, ',')")
	g.out.P("}")
	switch key.Desc.Kind() {
	case protoreflect.StringKind:
		g.refusing(g.runtime("AppendString"), "(b, k)")
	case protoreflect.BoolKind:
		g.literal(`"`)
		g.value(key, "k")
		g.literal(`"`)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		g.literal(`"`)
		g.value(key, "k")
		g.literal(`"`)
	default:
		g.value(key, "k")
	}
	g.literal(":")
	g.value(val, "v")
	g.flush()
	g.out.P("}")
	if key.Desc.Kind() != protoreflect.BoolKind {
		g.out.P("}")
	}
	g.literal("}")
}

func keyType(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "int32"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "int64"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "uint32"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "uint64"
	default:
		return "string"
	}
}

// value writes one value, of a field or of an element.
func (g *generator) value(field *protogen.Field, value string) {
	switch kind := field.Desc.Kind(); kind {
	case protoreflect.StringKind:
		g.refusing(g.runtime("AppendString"), "(b, ", value, ")")
	case protoreflect.MessageKind, protoreflect.GroupKind:
		g.messageValue(field.Message, value)
	case protoreflect.EnumKind:
		if field.Enum.Desc.FullName() == "google.protobuf.NullValue" {
			g.literal("null")
			return
		}
		names := field.Enum.GoIdent
		names.GoName += "_name"
		g.flush()
		g.out.P("b = ", g.runtime("AppendEnum"), "(b, int32(", value, "), ", names, ")")
	default:
		g.flush()
		g.out.P("b = ", g.runtime(appendFunc(kind)), "(b, ", value, ")")
	}
}

func (g *generator) messageValue(m *protogen.Message, value string) {
	switch {
	case m.Desc.FullName() == "google.protobuf.Timestamp":
		g.refusing(g.runtime("AppendTimestamp"), "(b, ", value, ")")
	case m.Desc.FullName() == "google.protobuf.Duration":
		g.refusing(g.runtime("AppendDuration"), "(b, ", value, ")")
	case g.generated[m.GoIdent.GoImportPath]:
		g.refusing(value, ".AppendJSON(b)")
	default:
		g.refusing(g.runtime("AppendMessage"), "(b, ", value, ")")
	}
}

func appendFunc(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.BoolKind:
		return "AppendBool"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "AppendInt32"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "AppendUint32"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "AppendInt64"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "AppendUint64"
	case protoreflect.FloatKind:
		return "AppendFloat32"
	case protoreflect.DoubleKind:
		return "AppendFloat64"
	default:
		return "AppendBytes"
	}
}

// refusing writes a call of a function that returns nil for a value without a JSON form.
func (g *generator) refusing(call ...any) {
	g.flush()
	line := append([]any{"if b = "}, call...)
	g.out.P(append(line, "; b == nil {")...)
	g.out.P("return nil")
	g.out.P("}")
}

// literal appends text to the output. Consecutive literals are joined.
func (g *generator) literal(text string) { g.pending += text }

func (g *generator) flush() {
	switch len(g.pending) {
	case 0:
		return
	case 1:
		g.out.P("b = append(b, ", strconv.QuoteRune(rune(g.pending[0])), ")")
	default:
		g.out.P("b = append(b, `", g.pending, "`...)")
	}
	g.pending = ""
}

func (g *generator) runtime(name string) string {
	return g.out.QualifiedGoIdent(runtimePackage.Ident(name))
}
