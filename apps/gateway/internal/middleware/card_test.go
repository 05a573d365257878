package middleware

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHasCardNumber(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   string
		want bool
	}{
		"plain":                         {`{"token":"4111111111111111"}`, true},
		"a JSON number":                 {`{"token":4111111111111111}`, true},
		"groups of four":                {"4111 1111 1111 1111", true},
		"dashes":                        {"5500-0000-0000-0004", true},
		"american express":              {"378282246310005", true},
		"with its expiry date":          {"4111 1111 1111 1111 12/29", true},
		"after another number":          {"qty 2 4111 1111 1111 1111", true},
		"discover":                      {"6011111111111117", true},
		"fails Luhn":                    {"4111111111111112", false},
		"no such issuer":                {"9111111111111111", false},
		"a barcode of 13 digits":        {"4006381333931", false},
		"part of an identifier":         {"prd_4111111111111111", false},
		"followed by letters":           {"4111111111111111ab", false},
		"a UUID's digits":               {"0198c5f2-7e6b-7c1f-8a3d-5e9b04c7d21a", false},
		"microseconds since 1970":       {"1763845532123456", false},
		"a telephone number":            {"+55 11 91234-5678", false},
		"empty":                         {"", false},
		"nothing but a lot of digits":   {"4111111111111111411111111111111141111111", false},
		"groups that are not a card":    {"10 20 30 40 50 60 70 80 90", false},
		"a price and a quantity beside": {`{"price":"53.98","quantity":3}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, hasCardNumber([]byte(tc.in)))
		})
	}
}

func FuzzHasCardNumber(f *testing.F) {
	f.Add([]byte("4111 1111 1111 1111"))
	f.Add([]byte("1-2-3-4-5"))
	f.Fuzz(func(_ *testing.T, b []byte) { hasCardNumber(b) }) // must end, and not panic
}
