package jsonpb

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"souk/pkg/errs"
)

// strict decodes without DiscardUnknown: an unknown field is an error.
var strict = protojson.UnmarshalOptions{RecursionLimit: 100}

// mostValues is the most values that a body may hold. An empty object has two bytes, but takes more than a
// hundred in memory.
const mostValues = 50_000

// Unmarshal decodes data into v, a message or a pointer to a field of one. A field update_mask that data does not set
// gets the names of the fields that data has.
//
// Errors: invalid_argument (with the invalid field).
func (Marshaler) Unmarshal(data []byte, v any) error {
	if len(data) > 2*mostValues && values(data) > mostValues {
		return errs.New(errs.Invalid, "the body holds more than %d values", mostValues)
	}
	m, ok := v.(proto.Message)
	if !ok {
		if err := fallback.Unmarshal(data, v); err != nil {
			return errs.New(errs.Invalid, "the body does not have the right form")
		}
		return nil
	}
	if err := strict.Unmarshal(data, m); err != nil {
		return diagnose(data, m.ProtoReflect().Descriptor())
	}
	return setUpdateMask(data, m.ProtoReflect())
}

// setUpdateMask sets the field update_mask of a message, if it has one and it is unset, to the fields that data names:
// a message does not tell an empty list, or a null, from a field that is not there.
func setUpdateMask(data []byte, m protoreflect.Message) error {
	field := m.Descriptor().Fields().ByName("update_mask")
	if field == nil || field.Message() == nil || field.Message().FullName() != updateMask || m.Has(field) {
		return nil
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil {
		return errs.Wrap(err, errs.Invalid, "the body does not have the right form")
	}
	mask := &fieldmaskpb.FieldMask{}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		f := m.Descriptor().Fields().ByJSONName(name)
		if f == nil { // a field may also have its name in the contract
			f = m.Descriptor().Fields().ByTextName(name)
		}
		if f != nil && f != field {
			mask.Paths = append(mask.Paths, string(f.Name()))
		}
	}
	m.Set(field, protoreflect.ValueOfMessage(mask.ProtoReflect()))
	return nil
}

var updateMask = (*fieldmaskpb.FieldMask)(nil).ProtoReflect().Descriptor().FullName()

// NewDecoder returns a decoder that reads all of r as one value. For an empty body it returns io.EOF,
// which the gateway takes for an empty message.
//
// Errors: invalid_argument (with the invalid field), too_large (r reached the limit of an http.MaxBytesReader).
func (m Marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		data, err := io.ReadAll(r)
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			return errs.Wrap(err, errs.TooLarge, "the body is larger than %d bytes", tooLarge.Limit)
		case err != nil:
			return errs.Wrap(err, errs.Invalid, "the body could not be read to its end")
		case isBlank(data):
			return io.EOF
		}
		return m.Unmarshal(data, v)
	})
}

// values counts the values in JSON: each but the first follows a comma, or the opening of a list or an
// object. Empty lists and objects make the count slightly too high.
func values(data []byte) int {
	n := 1
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case ',', '[', '{':
			n++
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}

func isBlank(data []byte) bool {
	for _, c := range data {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// RequestError gives the code invalid_argument to an error in reading a REST request, unless the error has a code.
// The generated REST handlers call it.
//
// Errors: invalid_argument, or the code of err.
func RequestError(err error) error {
	var coded *errs.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	// Take the field from grpc-gateway's message about a query parameter. The rest of the message repeats the
	// input.
	if match := queryField.FindStringSubmatch(err.Error()); match != nil {
		return invalid(errs.Field{Path: camelCase(match[1]), Message: "does not have the right form"})
	}
	return errs.New(errs.Invalid, "the request does not have the right form")
}

var queryField = regexp.MustCompile(
	`(?:parsing (?:field|list|map key|map value)|too many values for field) "([a-z0-9_]{1,64})"`,
)

func invalid(violation errs.Field) *errs.Error {
	e := errs.New(errs.Invalid, "%s: %s", violation.Path, violation.Message)
	e.Fields = []errs.Field{violation}
	return e
}

// camelCase returns the JSON name of a field: pageSize for page_size.
func camelCase(name string) string {
	var b strings.Builder
	for i, part := range strings.Split(name, "_") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}
