package logging

import (
	"encoding/base64"
	"strconv"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "souk/gen/go/souk/options/v1"
)

// Redacted replaces the value of a field that is marked as secret or personal.
const Redacted = "[redacted]"

// Redact returns a log field with m, but without the contents of the fields that the contract marks
// with souk.options.v1.redact. It costs nothing if the line is not logged.
func Redact(key string, m proto.Message) zap.Field {
	if m == nil {
		return zap.Skip()
	}
	return zap.Object(key, message{m.ProtoReflect()})
}

type message struct{ m protoreflect.Message }

// MarshalLogObject writes the fields that are set.
func (m message) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	var err error
	m.m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := fd.JSONName()
		switch {
		case secret(fd):
			enc.AddString(name, Redacted)
		case fd.IsMap():
			err = enc.AddObject(name, mapping{fd, v.Map()})
		case fd.IsList():
			err = enc.AddArray(name, list{fd, v.List()})
		case fd.Message() != nil:
			err = enc.AddObject(name, message{v.Message()})
		default:
			enc.AddString(name, text(fd, v))
		}
		return err == nil
	})
	return err
}

type list struct {
	fd protoreflect.FieldDescriptor
	l  protoreflect.List
}

// MarshalLogArray writes the elements.
func (l list) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for i := range l.l.Len() {
		v := l.l.Get(i)
		if l.fd.Message() == nil {
			enc.AppendString(text(l.fd, v))
		} else if err := enc.AppendObject(message{v.Message()}); err != nil {
			return err
		}
	}
	return nil
}

type mapping struct {
	fd protoreflect.FieldDescriptor
	m  protoreflect.Map
}

// MarshalLogObject writes the entries.
func (m mapping) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	var err error
	m.m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if m.fd.MapValue().Message() != nil {
			err = enc.AddObject(k.String(), message{v.Message()})
		} else {
			enc.AddString(k.String(), text(m.fd.MapValue(), v))
		}
		return err == nil
	})
	return err
}

func text(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.EnumKind:
		if d := fd.Enum().Values().ByNumber(v.Enum()); d != nil {
			return string(d.Name())
		}
		return strconv.Itoa(int(v.Enum()))
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	default:
		return v.String()
	}
}

func secret(fd protoreflect.FieldDescriptor) bool {
	redact, _ := proto.GetExtension(fd.Options(), optionsv1.E_Redact).(bool)
	return redact
}
