package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// registerArrays registers faster encoders for []string and []int64. Set-based statements take their columns as
// arrays, which are most of what souk sends to PostgreSQL. The encoder of pgx goes through an interface for each
// element and grows its buffer on the way.
func registerArrays(m *pgtype.Map) error {
	err := registerArray(m, pgtype.TextArrayOID, func(s string) int { return len(s) },
		func(buf []byte, s string) []byte { return append(buf, s...) })
	if err != nil {
		return err
	}
	return registerArray(m, pgtype.Int8ArrayOID, func(int64) int { return 8 }, func(buf []byte, n int64) []byte {
		return binary.BigEndian.AppendUint64(buf, uint64(n)) //nolint:gosec // two's complement is the format
	})
}

func registerArray[T any](m *pgtype.Map, oid uint32, size func(T) int, put func([]byte, T) []byte) error {
	known, ok := m.TypeForOID(oid)
	if !ok {
		return fmt.Errorf("pgx does not know the type %d", oid)
	}
	codec, ok := known.Codec.(*pgtype.ArrayCodec)
	if !ok {
		return fmt.Errorf("pgx has another codec for %s: %T", known.Name, known.Codec)
	}
	m.RegisterType(
		&pgtype.Type{
			Name:  known.Name,
			OID:   oid,
			Codec: arrays[T]{codec, encodeArray[T]{codec.ElementType.OID, size, put}},
		},
	)
	return nil
}

// arrays is the array codec of pgx with another encoder for []T.
type arrays[T any] struct {
	*pgtype.ArrayCodec
	plan encodeArray[T]
}

// PlanEncode implements pgtype.Codec.
func (c arrays[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return c.plan
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type encodeArray[T any] struct {
	element uint32 // OID of the element type
	size    func(T) int
	put     func([]byte, T) []byte
}

// Encode appends a []T in the binary format of PostgreSQL's array_send. A nil slice is null.
func (p encodeArray[T]) Encode(value any, buf []byte) ([]byte, error) {
	all := value.([]T) //nolint:forcetypeassert // checked by PlanEncode
	if all == nil {
		return nil, nil
	}
	const head, dimension, length = 12, 8, 4
	size := head + dimension
	for _, v := range all {
		size += length + p.size(v)
	}
	if size > math.MaxInt32 {
		return nil, fmt.Errorf("an array of %d bytes is too large", size)
	}
	buf = slices.Grow(buf, size)
	be := binary.BigEndian
	buf = be.AppendUint32(buf, uint32(min(len(all), 1))) //nolint:gosec // dimensions: 0 or 1
	buf = be.AppendUint32(buf, 0)                        // contains no nulls
	buf = be.AppendUint32(buf, p.element)
	if len(all) == 0 {
		return buf, nil
	}
	buf = be.AppendUint32(buf, uint32(len(all))) //nolint:gosec // bounded by size
	buf = be.AppendUint32(buf, 1)                // index of the first element
	for _, v := range all {
		buf = be.AppendUint32(buf, uint32(p.size(v))) //nolint:gosec // bounded by size
		buf = p.put(buf, v)
	}
	return buf, nil
}
