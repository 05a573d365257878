package jsonpb_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	_ "souk/gen/go/souk/auth/v1"
	_ "souk/gen/go/souk/cart/v1"
	_ "souk/gen/go/souk/money/v1"
	_ "souk/gen/go/souk/options/v1"
	_ "souk/gen/go/souk/order/v1"
	_ "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	_ "souk/gen/go/souk/shop/v1"
	_ "souk/gen/go/souk/user/v1"
	"souk/pkg/jsonpb"
	_ "souk/pkg/jsonpb/internal/kinds"
)

var reference = protojson.MarshalOptions{EmitDefaultValues: true}

// TestAppendJSONEqualsProtojson checks every message of souk, and a message with every kind of field.
func TestAppendJSONEqualsProtojson(t *testing.T) {
	t.Parallel()
	for _, mt := range soukMessages(t) {
		t.Run(string(mt.Descriptor().FullName()), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := drawMessage(t, mt.New(), 0)
				requireSame(t, m.Interface())
			})
		})
	}
}

func soukMessages(t *testing.T) []protoreflect.MessageType {
	t.Helper()
	var types []protoreflect.MessageType
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		if strings.HasPrefix(string(mt.Descriptor().FullName()), "souk.") && !mt.Descriptor().IsMapEntry() {
			types = append(types, mt)
		}
		return true
	})
	require.Greater(t, len(types), 100)
	slices.SortFunc(types, func(a, b protoreflect.MessageType) int {
		return strings.Compare(string(a.Descriptor().FullName()), string(b.Descriptor().FullName()))
	})
	return types
}

// requireSame requires that AppendJSON and protojson have the same output, or that both fail.
func requireSame(t require.TestingT, m proto.Message) {
	appender, ok := m.(jsonpb.Appender)
	require.True(t, ok, "%T has no AppendJSON", m)
	got := appender.AppendJSON([]byte("before"))

	want, err := reference.Marshal(m)
	if err != nil {
		require.Nil(t, got, "protojson refuses: %v", err)
		_, err := jsonpb.Append(nil, m)
		require.Error(t, err)
		return
	}
	var compact bytes.Buffer
	compact.WriteString("before")
	require.NoError(t, json.Compact(&compact, want))
	require.Equal(t, compact.String(), string(got))
}

func drawMessage(t *rapid.T, m protoreflect.Message, depth int) protoreflect.Message {
	switch m := m.Interface().(type) {
	case *timestamppb.Timestamp:
		m.Seconds = rapid.OneOf(rapid.Int64Range(0, 4e9), rapid.Int64Range(-62135596801, -62135596799),
			rapid.Int64Range(253402300798, 253402300800), rapid.Int64()).Draw(t, "seconds")
		m.Nanos = drawNanos(t)
		return m.ProtoReflect()
	case *durationpb.Duration:
		m.Seconds = rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64Range(315575999999, 315576000001), rapid.Int64()).
			Draw(t, "seconds")
		m.Nanos = drawNanos(t)
		return m.ProtoReflect()
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		// Most fields of the outermost message are set, and hardly any deep down.
		if rapid.IntRange(0, 3+2*depth).Draw(t, "set") > 2 {
			continue
		}
		switch {
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rapid.IntRange(0, 3).Draw(t, "length") {
				if fd.Message() != nil {
					drawMessage(t, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(drawScalar(t, fd))
				}
			}
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range rapid.IntRange(0, 12).Draw(t, "length") {
				key := drawScalar(t, fd.MapKey()).MapKey()
				if fd.MapValue().Message() != nil {
					drawMessage(t, entries.Mutable(key).Message(), depth+1)
				} else {
					entries.Set(key, drawScalar(t, fd.MapValue()))
				}
			}
		case fd.Message() != nil:
			drawMessage(t, m.Mutable(fd).Message(), depth+1)
		default:
			m.Set(fd, drawScalar(t, fd))
		}
	}
	return m
}

func drawNanos(t *rapid.T) int32 {
	return rapid.OneOf(rapid.SampledFrom([]int32{
		0, 1, 1000, 1e6, 5e8, 120e6, 123456e3, 999999999, 1e9, -1, -5e8, -1e9,
	}),
		rapid.Int32Range(0, 999999999)).
		Draw(t, "nanos")
}

func drawString(t *rapid.T) string {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[a-z "\\\n\t/<>&\x00-\x1f\x7f]{0,40}`),
		rapid.StringMatching(`[a-zA-Z ]{0,70}`),
		rapid.SampledFrom(
			[]string{"São Paulo", "\u2028", "\ufffd", "日本語 \"", "\x00", "\u0080", "a\xffb", "\xed\xa0\x80", "🛍"},
		),
	).Draw(t, "string")
}

func drawScalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32Range(-1, 7).Draw(t, "enum")))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "int32"))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "uint32"))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "int64"))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "uint64"))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(math.Float32frombits(rapid.Uint32().Draw(t, "float")))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.OneOf(
			rapid.SampledFrom(
				[]float64{
					0,
					math.Copysign(0, -1),
					math.NaN(),
					math.Inf(1),
					math.Inf(-1),
					4.5,
					1e-6,
					9e-7,
					1e21,
					1e-9,
					1e-100,
				},
			),
			rapid.Float64(),
		).Draw(t, "double"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	default:
		return protoreflect.ValueOfString(drawString(t))
	}
}

func TestAppendJSONWritesNilMessagesAsProtojsonDoes(t *testing.T) {
	t.Parallel()
	requireSame(t, (*productv1.Product)(nil))
	requireSame(t, &productv1.SearchProductsResponse{Products: []*productv1.Product{nil, {}}})
}

func TestAppendRefusesTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	_, err := jsonpb.Append(nil, &productv1.SearchProductsResponse{Products: []*productv1.Product{{Title: "a\xff"}}})
	require.ErrorContains(t, err, "souk.product.v1.Product.title")
}

func TestAppendEncodesMessageWithoutAppendJSON(t *testing.T) {
	t.Parallel()
	b, err := jsonpb.Append([]byte("at "), durationpb.New(1500e6))
	require.NoError(t, err)
	require.Equal(t, `at "1.500s"`, string(b))
}

func ExampleAppend() {
	b, err := jsonpb.Append(nil, &productv1.Stock{VariantId: "var_1", OnHand: 3, Available: 3})
	fmt.Println(string(b), err)
	// Output: {"variantId":"var_1","sku":"","onHand":"3","reserved":"0","available":"3"} <nil>
}
