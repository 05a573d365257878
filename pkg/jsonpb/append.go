package jsonpb

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Appender is a message that can append itself as JSON. AppendJSON returns nil if the message holds
// a value without a JSON form: a string that is not UTF-8, or a time outside the years 1 to 9999.
type Appender interface {
	proto.Message
	AppendJSON(b []byte) []byte
}

var reference = protojson.MarshalOptions{EmitDefaultValues: true}

// Append appends m as JSON. The error is protojson's: m holds a value without a JSON form.
func Append(b []byte, m proto.Message) ([]byte, error) {
	if m, ok := m.(Appender); ok {
		if b := m.AppendJSON(b); b != nil {
			return b, nil
		}
	}
	// If AppendJSON failed, protojson's error says why.
	text, err := reference.Marshal(m)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(b)
	if err := json.Compact(compact, text); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

// AppendMessage is [Append] for generated code. It returns nil instead of an error.
func AppendMessage(b []byte, m proto.Message) []byte {
	b, err := Append(b, m)
	if err != nil {
		return nil
	}
	return b
}

// AppendString appends s quoted and escaped. It returns nil if s is not UTF-8.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := len(b)
	b = append(b, s...)
	if !plain(b[start:]) {
		if !utf8.ValidString(s) {
			return nil
		}
		b = appendEscaped(b[:start], s)
	}
	return append(b, '"')
}

// plain reports whether text is ASCII without anything to escape.
func plain(text []byte) bool {
	if len(text) < 8 {
		for _, c := range text {
			if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
				return false
			}
		}
		return true
	}
	// Check eight bytes at a time. The last eight may overlap those before.
	for rest := text; len(rest) > 8; rest = rest[8:] {
		if !plainWord(binary.LittleEndian.Uint64(rest)) {
			return false
		}
	}
	return plainWord(binary.LittleEndian.Uint64(text[len(text)-8:]))
}

// plainWord is plain for the eight bytes of w. Each subtraction sets the high bit of a byte that is too
// small, by a borrow.
func plainWord(w uint64) bool {
	const ones = 0x0101010101010101
	control := w - ones*' '
	quote := (w ^ ones*'"') - ones
	backslash := (w ^ ones*'\\') - ones
	return (w|control|quote|backslash)&(ones*utf8.RuneSelf) == 0
}

func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return append(b, s[from:]...)
}

// AppendBytes appends v as base64.
func AppendBytes(b, v []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, v)
	return append(b, '"')
}

// AppendBool appends v.
func AppendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// AppendInt32 appends v as a number.
func AppendInt32(b []byte, v int32) []byte { return strconv.AppendInt(b, int64(v), 10) }

// AppendUint32 appends v as a number.
func AppendUint32(b []byte, v uint32) []byte { return strconv.AppendUint(b, uint64(v), 10) }

// AppendInt64 appends v as a string, since a JSON number holds only 53 bits.
func AppendInt64(b []byte, v int64) []byte {
	b = append(b, '"')
	b = strconv.AppendInt(b, v, 10)
	return append(b, '"')
}

// AppendUint64 appends v as a string, since a JSON number holds only 53 bits.
func AppendUint64(b []byte, v uint64) []byte {
	b = append(b, '"')
	b = strconv.AppendUint(b, v, 10)
	return append(b, '"')
}

// AppendFloat32 appends v as a number, or as "NaN", "Infinity" or "-Infinity".
func AppendFloat32(b []byte, v float32) []byte {
	abs := float32(math.Abs(float64(v)))
	return appendFloat(b, float64(v), 32, abs != 0 && (abs < 1e-6 || abs >= 1e21))
}

// AppendFloat64 appends v as a number, or as "NaN", "Infinity" or "-Infinity".
func AppendFloat64(b []byte, v float64) []byte {
	abs := math.Abs(v)
	return appendFloat(b, v, 64, abs != 0 && (abs < 1e-6 || abs >= 1e21))
}

func appendFloat(b []byte, v float64, bits int, exponent bool) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, +1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	if !exponent {
		return strconv.AppendFloat(b, v, 'f', -1, bits)
	}
	b = strconv.AppendFloat(b, v, 'e', -1, bits)
	// 1e-09 is written 1e-9.
	if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// AppendEnum appends the name of value v, or the number v if names does not have it.
func AppendEnum(b []byte, v int32, names map[int32]string) []byte {
	name, ok := names[v]
	if !ok {
		return AppendInt32(b, v)
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

// AppendTimestamp appends t in RFC 3339, in UTC, with 0, 3, 6 or 9 digits after the second. It returns nil
// outside the years 1 to 9999.
func AppendTimestamp(b []byte, t *timestamppb.Timestamp) []byte {
	const (
		first = -62135596800 // 0001-01-01T00:00:00Z
		last  = 253402300799 // 9999-12-31T23:59:59Z
	)
	seconds, nanos := t.GetSeconds(), t.GetNanos()
	if seconds < first || seconds > last || nanos < 0 || nanos >= 1e9 {
		return nil
	}
	b = append(b, '"')
	b = time.Unix(seconds, 0).UTC().AppendFormat(b, time.RFC3339)
	b = appendFraction(b[:len(b)-len("Z")], nanos)
	return append(b, 'Z', '"')
}

// AppendDuration appends d in seconds, with 0, 3, 6 or 9 digits after the point. It returns nil if d is
// invalid.
func AppendDuration(b []byte, d *durationpb.Duration) []byte {
	const most = 315576000000 // 10,000 years
	seconds, nanos := d.GetSeconds(), d.GetNanos()
	if seconds < -most || seconds > most || nanos <= -1e9 || nanos >= 1e9 ||
		seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 {
		return nil
	}
	b = append(b, '"')
	if seconds < 0 || nanos < 0 {
		b = append(b, '-')
		seconds, nanos = -seconds, -nanos
	}
	b = strconv.AppendInt(b, seconds, 10)
	b = appendFraction(b, nanos)
	return append(b, 's', '"')
}

// appendFraction appends nanos as ".123", ".123456" or ".123456789". It appends nothing for 0.
func appendFraction(b []byte, nanos int32) []byte {
	if nanos == 0 {
		return b
	}
	digits := 9
	for digits > 3 && nanos%1000 == 0 {
		nanos /= 1000
		digits -= 3
	}
	b = append(b, ".000000000"[:1+digits]...)
	for i := len(b) - 1; nanos > 0; i-- {
		b[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return b
}

// SortedKeys appends the keys of m to keys and sorts them.
func SortedKeys[K cmp.Ordered, V any](keys []K, m map[K]V) []K {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
