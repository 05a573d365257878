package jsonpb

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"sync"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"
)

// Marshaler is the JSON marshaler of souk's REST gateway. It encodes messages and slices of messages
// like [Append]. It encodes all other values as grpc-gateway's own marshaler does with
// EmitDefaultValues. Decoding is strict.
type Marshaler struct{}

var _ runtime.Marshaler = Marshaler{}

// fallback encodes and decodes values that are neither a message nor a slice of messages.
var fallback = &runtime.JSONPb{MarshalOptions: reference, UnmarshalOptions: strict}

// ContentType returns application/json.
func (Marshaler) ContentType(any) string { return "application/json" }

// Marshal encodes a message or a field of one. The result belongs to the caller.
func (Marshaler) Marshal(v any) ([]byte, error) {
	buf := takeBuffer()
	defer buf.free()
	var err error
	if buf.b, err = appendValue(buf.b, v); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.b), nil
}

// NewEncoder returns an encoder that writes each value to w in one Write, followed by a newline.
func (Marshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		buf := takeBuffer()
		defer buf.free()
		var err error
		if buf.b, err = appendValue(buf.b, v); err != nil {
			return err
		}
		buf.b = append(buf.b, '\n')
		_, err = w.Write(buf.b)
		return err
	})
}

// Delimiter returns the separator between the messages of a streamed response.
func (Marshaler) Delimiter() []byte { return []byte("\n") }

func appendValue(b []byte, v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return Append(b, m)
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && rv.Type().Elem().Kind() != reflect.Uint8 {
		if rv.Len() == 0 {
			return append(b, '[', ']'), nil
		}
		if rv.Type().Elem().Implements(messageType) {
			return appendMessages(b, rv)
		}
	}
	text, err := fallback.Marshal(v)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(b)
	if err := json.Compact(compact, text); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

var messageType = reflect.TypeFor[proto.Message]()

func appendMessages(b []byte, messages reflect.Value) ([]byte, error) {
	open := byte('[')
	for i := range messages.Len() {
		b = append(b, open)
		open = ','
		var err error
		if b, err = Append(b, messages.Index(i).Interface().(proto.Message)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// buffer is a reusable buffer for encoding.
type buffer struct{ b []byte }

// maxKept is the largest capacity, in bytes, of a buffer that returns to the pool.
const maxKept = 1 << 20

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 4096)} }}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (r *buffer) free() {
	if cap(r.b) > maxKept {
		return
	}
	r.b = r.b[:0]
	buffers.Put(r)
}
