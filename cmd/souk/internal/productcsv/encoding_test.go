package productcsv_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"souk/cmd/souk/internal/productcsv"
	"souk/pkg/errs"
)

// first reads the first product of a file, and what the Reader notes about the file.
func first(t *testing.T, file io.Reader) (p *productcsv.Product, rejected []productcsv.Rejection, notes []string) {
	t.Helper()
	r, err := productcsv.NewReader(file, "BRL")
	require.NoError(t, err)
	p, rejected, err = r.Next()
	require.NoError(t, err)
	return p, rejected, r.Notes()
}

func TestEncodingsAreRecognised(t *testing.T) {
	t.Parallel()
	const text = "Handle,Title,Vendor,Variant Price\ncafe,\"Café – “doce”\",Açúcar,1\n"
	for name, c := range map[string]struct {
		encoding encoding.Encoding
		text     string
		note     string
	}{
		"UTF-8":                        {encoding.Nop, text, ""},
		"UTF-8 with a mark":            {encoding.Nop, "\ufeff" + text, ""},
		"Windows-1252":                 {charmap.Windows1252, text, "the file is not UTF-8: it was read as Windows-1252"},
		"UTF-16, little endian":        {unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), text, "the file is not UTF-8: it was read as UTF-16"},
		"UTF-16, big endian":           {unicode.UTF16(unicode.BigEndian, unicode.UseBOM), text, "the file is not UTF-8: it was read as UTF-16"},
		"UTF-16 without a mark":        {unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), text, "the file is not UTF-8: it was read as UTF-16"},
		"UTF-16 without a mark, big":   {unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), text, "the file is not UTF-8: it was read as UTF-16"},
		"Windows-1252 by chance UTF-8": {charmap.Windows1252, strings.Replace(text, "cafe", "MENÜ“ é è à", 1), "the file is not UTF-8: it was read as Windows-1252"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := c.encoding.NewEncoder().String(c.text)
			require.NoError(t, err)
			for _, file := range []io.Reader{strings.NewReader(raw), io.MultiReader(strings.NewReader(raw))} {
				p, rejected, notes := first(t, file)
				require.Empty(t, rejected)
				require.Equal(t, "Café – “doce”", p.GetTitle())
				require.Equal(t, "Açúcar", p.Vendor)
				if c.note == "" {
					require.Empty(t, notes)
				} else {
					require.Equal(t, []string{c.note}, notes)
				}
			}
		})
	}
}

// The rest of the file shows that a cut character is UTF-8, not Windows-1252.
func TestEncodingErrorConcernsItsRow(t *testing.T) {
	t.Parallel()
	const head = "Handle,Title,Vendor,Variant Price\n"
	products, rejected := readAll(t, head+"a,Caf\xc3,V,1\nb,Café,V,1\nc,Açúcar,V,1\n")
	require.Len(t, products, 2)
	require.Equal(t, []string{"2: Title is not valid UTF-8"}, rejected)

	products, rejected = readAll(t, head+"a,Caf\x81,V,1\nb,Caf\xe9,V,1\n")
	require.Len(t, products, 1)
	require.Equal(t, "Café", products[0].GetTitle())
	require.Equal(t, []string{"2: Title is not valid Windows-1252"}, rejected)

	// The bad rows may be many and long.
	bad := strings.Repeat("b,"+strings.Repeat("\xe9t\xe9 ", 20)+",V,1\n", 30)
	for _, file := range []string{head + "a,Café,V,1\n" + bad, head + bad + "a,Café,V,1", "\ufeff" + head + bad + "a,Cafe,V,1"} {
		products, rejected = readAll(t, file)
		require.Len(t, products, 1)
		require.Contains(t, products[0].GetTitle(), "Caf")
		require.Len(t, rejected, 30)
		require.Contains(t, rejected[0], "Title is not valid UTF-8")
	}

	// The beginning of a long file is ASCII.
	products, rejected = readAll(t, head+strings.Repeat("a,A,V,1\n", 10_000)+"b,Caf\xe9,V,1\n")
	require.Equal(t, "Café", products[len(products)-1].GetTitle())
	require.NotContains(t, strings.Join(rejected, "\n"), "UTF-8")
}

func TestUnpairedSurrogateRejectsItsRow(t *testing.T) {
	t.Parallel()
	raw, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().
		String("Handle,Title,Vendor,Variant Price\na,A~,V,1\nb,😀,V,1\n")
	require.NoError(t, err)
	for _, surrogate := range []string{"\x00\xd8", "\x00\xdc"} {
		products, rejected := readAll(t, strings.Replace(raw, "~\x00", surrogate, 1))
		require.Equal(t, []string{"2: Title is not valid UTF-16"}, rejected)
		require.Len(t, products, 1)
		require.Equal(t, "😀", products[0].GetTitle())
	}
}

func TestLinesMayEndWithALoneCarriageReturn(t *testing.T) {
	t.Parallel()
	const text = "Handle;Title;Vendor;Variant Price;Tags\r\ra;\"A\nB\";V;1,50;\"x, y\"\rshort\rb;B;V;2;\r"
	for _, file := range []string{text, "sep=;\r" + text, strings.TrimSuffix(text, "\r"), "\"Handle\"" + text[len("Handle"):]} {
		products, rejected := readAll(t, file)
		require.Len(t, products, 2)
		require.Equal(t, "A\nB", products[0].GetTitle())
		require.Equal(t, []string{"x", "y"}, products[0].GetTags())
		first := 3 + strings.Count(file, "sep=")
		require.Equal(t, first, products[0].Rows[0].Line)
		require.Equal(t, []string{fmt.Sprint(first+1, ": has 1 fields where the header has 5")}, rejected)
	}
	// In other files a carriage return is a character like others.
	products, rejected := readAll(t, "Handle,Title,Vendor,Variant Price\r\r\na,A\rB,V,1\n")
	require.Empty(t, rejected)
	require.Equal(t, "A\rB", products[0].GetTitle())
}

func TestSeparatorsAreRecognised(t *testing.T) {
	t.Parallel()
	for separator, note := range map[string]string{
		";": "the fields are separated by a semicolon", "\t": "the fields are separated by a tab",
		"|": "the fields are separated by a vertical bar",
	} {
		file := strings.ReplaceAll(
			"Handle^Title^Vendor^Variant Price^Tags\na^\"A^\n\"\"B\"\"\"^V^1.50^\"x, y\"\n",
			"^",
			separator,
		)
		for _, begin := range []string{"", "sep=" + separator + "\n", "SEP=" + separator + "\r\n"} {
			p, rejected, notes := first(t, strings.NewReader(begin+file))
			require.Empty(t, rejected)
			require.Equal(t, "A"+separator+"\n\"B\"", p.GetTitle())
			require.Equal(t, []string{"x", "y"}, p.GetTags())
			require.Equal(t, []string{note}, notes)
			require.Equal(t, 2+strings.Count(begin, "\n"), p.Rows[0].Line)
		}
	}
}

func TestDecimalCommasAreReadBetweenSemicolons(t *testing.T) {
	t.Parallel()
	const head = "Handle;Title;Vendor;Variant Price;Variant Compare At Price\n"
	for price, want := range map[string]string{
		"39,90": "39.90", "39,9": "39.90", "1.299,90": "1299.90", "1.234.567,5": "1234567.50", "39.90": "39.90", "40": "40.00",
	} {
		p, rejected, _ := first(t, strings.NewReader(head+"a;A;V;"+price+";0,00\n"))
		require.Empty(t, rejected, price)
		require.Equal(t, want, p.GetVariants()[0].GetPrice().GetAmount())
		require.Equal(t, "0.00", p.GetVariants()[0].GetCompareAtPrice().GetAmount())
	}
	for _, price := range []string{"1,299.90", "1.299", "1,299", "12.34,50", "1,2,3", ",5", "5,"} {
		p, rejected, _ := first(t, strings.NewReader(head+"a;A;V;"+price+";\n"))
		require.Nil(t, p, price)
		require.Len(t, rejected, 1, price)
		require.Contains(t, rejected[0].Reason, price)
	}
}

// 1.250 between semicolons is 1.25 to a program, and 1250 to a person who writes decimal commas.
func TestAmbiguousWeightsRejectTheirRow(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]map[string]float64{
		"Handle;Title;Vendor;Variant Price;Variant Grams\na;A;V;1;%s\n": {
			"1.250": -1, "1,250": -1, "12.500": -1, "125,000": -1, "+1.250": -1, "1.250.000": -1,
			"1.250,5": 1250.5, "1.250,500": 1250.5, "1250,5": 1250.5, "1250.5": 1250.5, "1250.000": 1250, "0.250": 0.25,
			"0,250": 0.25, "1,25": 1.25, "1.25": 1.25, "1250": 1250, "453.5920": 453.592, "0.0": 0,
		},
		"Handle,Title,Vendor,Variant Price,Variant Grams\na,A,V,1,\"%s\"\n": {"1.250": 1.25, "453.592": 453.592, "1,250": -1},
	} {
		for weight, grams := range want {
			p, rejected, _ := first(t, strings.NewReader(strings.ReplaceAll(file, "%s", weight)))
			if grams < 0 {
				require.Nil(t, p, weight)
				require.Contains(t, rejected[0].Reason, "Variant Grams \""+weight+"\"")
				continue
			}
			require.Empty(t, rejected, weight)
			require.InDelta(t, grams, p.GetVariants()[0].GetWeightGrams(), 0, weight)
		}
	}
	_, rejected, _ := first(t, strings.NewReader("Handle;Title;Vendor;Variant Price;Variant Grams\na;A;V;1;1.250\n"))
	require.Equal(t, `Variant Grams "1.250" is ambiguous: write 1250, or 1.2500 for a fraction`,
		rejected[0].Reason)
}

func TestFirstLineThatOnlyNamesTheSeparatorIsNoProductCSV(t *testing.T) {
	t.Parallel()
	_, err := productcsv.NewReader(strings.NewReader("sep=;"), "BRL")
	require.True(t, errs.Is(err, errs.Invalid))
	require.ErrorContains(t, err, "the file is empty")
}
