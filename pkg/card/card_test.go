package card_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/card"
)

// testCards are numbers that payment providers publish for tests.
var testCards = []string{
	"4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4917610000000000",
	"4988438843884305", "5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222",
	"378282246310005", "371449635398431", "378734493671000", "6011111111111117", "6011000990139424",
	"6011981111111113", "30569309025904", "38520000023237", "36227206271667", "3056930009020004",
	"3530111333300000", "3566002020360505", "6200000000000005", "6200000000000047", "6205500000000000004",
	"6555900000604105", "6759649826438453", "6771798021000008", "5019717010103742", "5066991111111118",
	"6362970000457013", "6062828888666688", "4222222222222", "5018651676121", "50202202972999",
}

// spellings returns the ways to write a number in groups: all in one, by four, as on an American Express card, by two,
// and each digit by itself.
func spellings(number, separator string) []string {
	by := func(sizes ...int) string {
		var groups []string
		rest := number
		for i := 0; rest != ""; i++ {
			n := min(sizes[i%len(sizes)], len(rest))
			groups = append(groups, rest[:n])
			rest = rest[n:]
		}
		return strings.Join(groups, separator)
	}
	return []string{number, by(4), by(4, 6, 5), by(2), by(1)}
}

var separators = []string{
	" ",
	"  ",
	"   ",
	"-",
	" - ",
	".",
	",",
	", ",
	"/",
	"_",
	":",
	";",
	"|",
	"*",
	"#",
	"\t",
	"\n",
	"\r\n",
	"()",
	"'",
	"+",
	"\u00a0",
	"\u2009",
	"\u2013",
	"\u2014",
	"\u2011",
	"\u3000",
	"\u00b7",
	"\u2022",
	"\u200b",
	"\u200d",
	"\u2060",
	"\ufeff",
	"\u00ad",
	"\u200b\u200b\u200b\u200b\u200b",
	" \u200b\u200b \u200b",
	"\u0301",
	"\U0001f4b3",
	"\u2028",
	"\u2026",
	" \u2026 ",
	"\u2026\u2026\u2026",
	"\u200d\u202f)\u180e>",
	"\u2039#\u2026",
}

// scripts are the zeros of digits.
var scripts = []rune{'0', '\uff10', '\u0660', '\u06f0', '\u0966', '\u0e50', '\U0001d7ce', '\U0001d7f6'}

func inScript(s string, zero rune) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return zero + r - '0'
		}
		return r
	}, s)
}

func TestEverySpellingOfACardIsRecognized(t *testing.T) {
	t.Parallel()
	around := []string{
		"%s",
		"my card is %s, thanks",
		"qty 2 %s",
		"%s 12/29",
		"card%s",
		"%sexp",
		"n\u00ba %s!",
		"\u201c%s\u201d",
		"cart\u00e3o:%s",
		"cc%sexp1225",
		"%scvv123",
		"a1b%s",
		"%sEXP12/25",
		"%se12",
		"1N%sxQ9",
	}
	n := 0
	for i, number := range testCards {
		for j, separator := range separators {
			for k, spelling := range spellings(number, separator) {
				text := fmt.Sprintf(around[(i+j+k)%len(around)], inScript(spelling, scripts[(i*3+j+k)%len(scripts)]))
				require.True(t, card.Contains(text), "%q", text)
				n++
			}
		}
	}
	require.Greater(t, n, 1000)
}

func TestOtherTextIsNotACard(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "4111", "4111111111111112", "9111111111111111", "41111111111111114111111111111111",
		"ana@example.com", "+49 1523 1234567", "+55 11 98765-4326 / +55 85 3232-1010", "4006381333931",
		"Rua das Flores 411, apto 1101, 60000-000", "1600 Amphitheatre Pkwy, Mountain View, CA 94043-1351",
		"1\u00aa Av. 4111, Bl 2 Ap 1203", "4111    1111    1111    1111", "4111x1111x1111x1111", "4a1b1c1d1e1f1g1h1i1j1k1l1m1n1o1p",
		"0198c5f2-7e6b-7c1f-8a3d-5e9b04c7d21a", "a0000000-0000-4111-1111-111111111111", "ff4111111111111111e237014c1ff593", "1763845532123456", "2026-11-22T22:03:19.411111Z",
		"12.345.678/0001-95", "50.000.000/0001-24", "+49 1523 1234563", "+573101234561", "10 20 30 40 50 60 70 80 90", "two of 10.99, three of 12.49",
	} {
		require.False(t, card.Contains(text), "%q", text)
	}
}

// Tokens are made at random. Those below are as providers write them.
func TestTokensOfProvidersAreNotCards(t *testing.T) {
	t.Parallel()
	random := make([]byte, 16)
	for range 100_000 {
		_, _ = rand.Read(random) // never fails
		h := hex.EncodeToString(random)
		for _, token := range []string{
			h, "tok_" + rand.Text(), h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:],
		} {
			require.False(t, card.Contains(token), token)
		}
	}
}

// Names, addresses and notes have numbers, but hardly ever those of a card.
func TestAddressesAndNamesAreNotCards(t *testing.T) {
	t.Parallel()
	r := mathrand.New(mathrand.NewPCG(1, 2)) //nolint:gosec // not a secret
	refused := 0
	const n = 200_000
	for range n {
		text := fmt.Sprintf([]string{
			"Rua das Flores, %d, Bl %d Ap %d", "1\u00aa Av. %d, Bl %d Ap %d", "Quadra %d Lote %d, %d", "Ana Souza %d/%d-%d",
			"%d-%d Main St #%d", "Calle %d # %d-%d", "Rua A, %[1]d, 6%04[3]d-%03[2]d", "KM %d,%d lote %d", "Am Markt %d-%d, D-%05d",
			"%[3]d %[1]d%[2]d Avenue", "\u6771\u4eac\u90fd %d-%d-%d", "CEP %05d-%03d casa %d", "+49 15%02[2]d %07[1]d",
		}[r.IntN(13)], r.IntN(10_000), r.IntN(100), r.IntN(10_000))
		if card.Contains(text) {
			refused++
		}
	}
	require.Less(t, refused, n/10_000)
}

func FuzzContains(f *testing.F) {
	f.Add("4111 1111 1111 1111")
	f.Add("\xff4.1/1  1")
	f.Add("card\u06604\u200b1a1")
	f.Fuzz(func(_ *testing.T, s string) { card.Contains(s) }) // must return and not panic
}

func BenchmarkContains(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		card.Contains("Rua das Flores 411, apto 1101, bloco B, 60000-000")
	}
}
