package middleware

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCardNumbersAreRecognized(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   string
		want bool
	}{
		"plain":                     {`{"token":"4111111111111111"}`, true},
		"a JSON number":             {`{"token":4111111111111111}`, true},
		"groups of four":            {"4111 1111 1111 1111", true},
		"dashes":                    {"5500-0000-0000-0004", true},
		"american express":          {"378282246310005", true},
		"with its expiry date":      {"4111 1111 1111 1111 12/29", true},
		"after another number":      {"qty 2 4111 1111 1111 1111", true},
		"discover":                  {"6011111111111117", true},
		"dots":                      {`{"note":"4111.1111.1111.1111"}`, true},
		"underscores":               {`{"note":"4111_1111_1111_1111"}`, true},
		"slashes":                   {"4111/1111/1111/1111", true},
		"every digit by itself":     {"4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", true},
		"dots and an expiry date":   {"4111.1111.1111.1111 12/29", true},
		"dots after another number": {"qty 2 4111.1111.1111.1111", true},
		"blanks and dashes":         {"4111 1111-1111 1111", true},
		"double blanks":             {"4111  1111  1111  1111", true},
		"blanks that do not break":  {"4111\u00a01111\u00a01111\u00a01111", true},
		"a hyphen of Unicode":       {"4111\u20101111\u20101111\u20101111", true},
		"an en dash":                {"4111\u20131111\u20131111\u20131111", true},
		"a horizontal bar":          {"4111\u20151111\u20151111\u20151111", true},
		"full-width digits": {
			"\uff14\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11",
			true,
		},
		"escaped blanks":                {`{"a":"4111\u00201111\u00201111\u00201111"}`, true},
		"escaped dashes":                {`{"a":"4111\u002d1111\u002D1111\u002d1111"}`, true},
		"escaped blanks of Unicode":     {`{"a":"4111\u00a01111\u00A01111\u00a01111"}`, true},
		"escaped dashes of Unicode":     {`{"a":"4111\u20101111\u20131111\u20151111"}`, true},
		"escaped digits":                {`{"a":"\u0034\u003111 1111 1111 11\u00311"}`, true},
		"escaped full-width digits":     {`{"a":"\uff14\uff11\uFF111 1111 1111 1111"}`, true},
		"escaped slashes":               {`{"a":"4111\/1111\/1111\/1111"}`, true},
		"after an escaped line break":   {`{"a":"my card\n4111111111111111\n"}`, true},
		"in quotation marks of Unicode": {"\u201c4111111111111111\u201d", true},
		"after a word of Unicode":       {"cart\u00e3o 4111111111111111", true},
		"after a letter of Unicode":     {"\u00e94111111111111111", false},
		"after an escaped letter":       {`"\u00e94111111111111111"`, false},
		"an amount":                     {"4111.11", false},
		"amounts":                       {"4111.11 1111.11 1111.11 11", false},
		"amounts in a list":             {`["4111.11","1111.11","1111.11"]`, false},
		"numbers in a list":             {"[4111.1111,1111.1111]", false},
		"an amount with groups":         {"4.111.111.111,11", false},
		"IP addresses":                  {"41.11.111.111 111.111.11.1", false},
		"IP addresses and a port":       {"41.11.111.111:11111 111.111.11.1", false},
		"dates":                         {"2026/11/22 2026/11/23 2026/12/01", false},
		"dates with dots":               {"30.11.2026 05.12.2026 24.12.2026", false},
		"dates with dashes":             {"2026-11-22T22:03:19.411111Z", false},
		"a date and a time":             {"2026/11/22 22.03.19 411111", false},
		"a version":                     {"4.11.1111-rc.1", false},
		"a path":                        {"/v1/4111/1111", false},
		"three blanks":                  {"4111   1111   1111   1111", false},
		"an escape that ends early":     {`4111\u00`, false},
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
	f.Add([]byte(`1\u002`))
	f.Add([]byte(`1\`))
	f.Add([]byte("\xff4.1/1  1"))
	f.Fuzz(func(_ *testing.T, b []byte) { hasCardNumber(b) }) // must return and not panic
}
