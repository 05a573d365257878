package id_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/pkg/errs"
	"souk/pkg/id"
)

func TestNewSortsByTime(t *testing.T) {
	t.Parallel()
	last := id.New(id.Order)
	for range 1000 {
		next := id.New(id.Order)
		require.Greater(t, next, last)
		require.True(t, id.Valid(id.Order, next))
		last = next
	}
}

func TestParseReversesFormat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var u uuid.UUID
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		back, err := id.Parse(id.Product, id.Format(id.Product, u))
		require.NoError(t, err)
		require.Equal(t, u, back)
	})
}

func TestParseRefusesMalformedIdentifiers(t *testing.T) {
	t.Parallel()
	good := id.New(id.Order)
	hex := strings.TrimPrefix(good, "ord_")
	u := uuid.MustParse(hex)
	for name, s := range map[string]string{
		"empty":          "",
		"only a prefix":  "ord_",
		"no prefix":      hex,
		"another prefix": "prd_" + hex,
		"short":          good[:len(good)-1],
		"long":           good + "0",
		"dashes":         "ord_" + u.String(),
		"not hex":        "ord_" + strings.Repeat("z", 32),
		"upper case":     "ord_" + strings.ToUpper(hex[:31]) + "A",
		"upper prefix":   "ORD_" + hex,
		"SQL":            "ord_' OR 1=1 --",
		"space":          " " + good,
	} {
		_, err := id.Parse(id.Order, s)
		require.Equal(t, errs.NotFound, errs.CodeOf(err), name)
		require.False(t, id.Valid(id.Order, s), name)
	}
}

func ExampleFormat() {
	fmt.Println(id.Format(id.Order, uuid.MustParse("0198c5f2-7e6b-7c1f-8a3d-5e9b04c7d21a")))
	// Output: ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a
}

func ExampleParse() {
	_, err := id.Parse(id.Order, "prd_0198c5f27e6b7c1f8a3d5e9b04c7d21a")
	fmt.Println(err)
	// Output: not_found: there is no such thing
}

func FuzzParse(f *testing.F) {
	f.Add("ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a")
	f.Add("ord_0198C5F27E6B7C1F8A3D5E9B04C7D21A")
	f.Add("ord_")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := id.Parse(id.Order, s); err == nil {
			require.Equal(t, s, id.Format(id.Order, u), "an identifier has one spelling")
		}
	})
}
