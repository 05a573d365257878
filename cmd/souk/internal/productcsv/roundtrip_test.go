package productcsv_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"souk/cmd/souk/internal/productcsv"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/money"
)

// text draws the content of a field. It may hold quotes, line breaks, commas and any script. It is not blank, and it
// is trimmed where the reader trims.
func text(trimmed bool) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := rapid.StringOfN(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\",\r\n; '=+-@\taä日"))), 1, 20, -1).
			Draw(t, "text")
		s = strings.ReplaceAll(s, "\x00", "0")
		if trimmed {
			s = strings.TrimSpace(s)
		}
		if strings.TrimSpace(s) == "" {
			s = "x"
		}
		return s
	})
}

func word() *rapid.Generator[string] { return rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,12}`) }

// maybe draws from g, or nothing.
func maybe(g *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), g)
}

func drawMoney(t *rapid.T) *moneyv1.Money {
	c := rapid.SampledFrom([]money.Currency{"BRL", "JPY", "KWD"}).Draw(t, "currency")
	return money.New(rapid.Int64Range(1, 1<<40).Draw(t, "minor"), c).ToProto()
}

// furtherNames are further columns. One would run in a spreadsheet.
var furtherNames = []string{"Season", "=1+1", "Metafield: custom.Ω [list]"}

func drawProduct(t *rapid.T) *productv1.ImportedProduct {
	p := &productv1.ImportedProduct{
		Shop:         word().Draw(t, "shop"),
		Handle:       word().Draw(t, "handle"),
		Title:        text(false).Draw(t, "title"),
		Description:  text(false).Draw(t, "description"),
		Status:       rapid.SampledFrom([]string{"active", "draft", "archived"}).Draw(t, "status"),
		Tags:         rapid.SliceOfN(word(), 0, 3).Draw(t, "tags"),
		CategoryPath: rapid.SliceOfN(word(), 0, 3).Draw(t, "category"),

		Brand:          proto.String(maybe(text(true)).Draw(t, "brand")),
		ProductType:    proto.String(maybe(text(true)).Draw(t, "type")),
		SeoTitle:       proto.String(maybe(text(false)).Draw(t, "seo title")),
		SeoDescription: proto.String(maybe(text(false)).Draw(t, "seo description")),
	}
	names := rapid.SliceOfNDistinct(word(), 0, 3, rapid.ID[string]).Draw(t, "options")
	for i, sku := range rapid.SliceOfNDistinct(text(true), 1, 4, rapid.ID[string]).Draw(t, "skus") {
		price := drawMoney(t)
		v := &productv1.VariantInput{
			Sku:    sku,
			Price:  price,
			OnHand: proto.Int64(rapid.Int64Range(0, 1_000_000_000).Draw(t, "onHand")),

			Barcode:     proto.String(maybe(text(true)).Draw(t, "barcode")),
			WeightGrams: proto.Float64(rapid.Float64Range(0, 1e9).Draw(t, "weight")),
			Cost:        &moneyv1.Money{CurrencyCode: price.GetCurrencyCode(), Amount: price.GetAmount()},
			ImageUrl:    proto.String(maybe(word()).Draw(t, "variant image")),
		}
		for i, name := range furtherNames {
			if value := maybe(text(false)).Draw(t, "further"); value != "" {
				if v.FurtherColumns == nil {
					v.FurtherColumns = map[string]string{}
				}
				v.FurtherColumns[name] = strings.Repeat(value, i+1)
			}
		}
		if rapid.Bool().Draw(t, "compare") {
			v.CompareAtPrice = price
		}
		for _, name := range names {
			if v.Options == nil {
				v.Options = map[string]string{}
			}
			v.Options[name] = fmt.Sprint(i, text(true).Draw(t, "value")) // no two variants have the same options
		}
		p.OptionNames = names
		p.Variants = append(p.Variants, v)
	}
	for range rapid.IntRange(0, 6).Draw(t, "images") {
		p.Images = append(
			p.Images,
			&productv1.Image{
				Url: "https://img.example/" + word().Draw(t, "image"),
				Alt: strings.TrimSpace(text(true).Draw(t, "alt")),
			},
		)
	}
	return p
}

// dropEmpty makes unset what an export writes as an empty cell.
func dropEmpty(p *productv1.ImportedProduct) {
	texts := []**string{&p.Brand, &p.ProductType, &p.SeoTitle, &p.SeoDescription}
	for _, v := range p.GetVariants() {
		texts = append(texts, &v.Barcode, &v.ImageUrl)
		if v.GetWeightGrams() == 0 {
			v.WeightGrams = nil
		}
	}
	for _, text := range texts {
		if (*text) != nil && **text == "" {
			*text = nil
		}
	}
}

// Import reads the same products that export has written, byte for byte.
func TestWrittenProductsAreReadUnchanged(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		products := rapid.SliceOfNDistinct(rapid.Custom(drawProduct), 1, 4,
			func(p *productv1.ImportedProduct) string { return p.GetHandle() }).
			Draw(t, "products")
		var file bytes.Buffer
		var further productcsv.FurtherColumns
		for _, p := range products {
			further.Add(p)
		}
		w, err := productcsv.NewWriter(&file, further.Names()...)
		require.NoError(t, err)
		for _, p := range products {
			require.NoError(t, w.Write(p))
		}
		require.NoError(t, w.Flush())

		r, err := productcsv.NewReader(&file, "BRL")
		require.NoError(t, err)
		for _, want := range products {
			got, refused, err := r.Next()
			require.NoError(t, err)
			require.Empty(t, refused)
			require.Equal(t, want.GetShop(), got.Vendor)
			got.Shop = got.Vendor
			dropEmpty(want)
			require.True(t, proto.Equal(want, got.ImportedProduct), "want %v\n got %v", want, got.ImportedProduct)
		}
		_, _, err = r.Next()
		require.ErrorIs(t, err, io.EOF)
	})
}

// FuzzReader checks that the reader never panics, accounts for every row, and agrees with encoding/csv if that can
// read the whole file.
func FuzzReader(f *testing.F) {
	const head = "Handle,Title,Vendor,Variant Price\n"
	for _, rows := range []string{
		"", "a,A,V,1\n", "a,A,V,1\na,,,2\n", "\"a\n", "a,\"A\"\"\",V,1", "a,\"A\nB\",V,1\r\n", "a,b\"c,V,1\n", "\"a\"x,A,V,1\n", "\n\n\r\n", "\r", "a,\"\",V,\"1\"",
	} {
		f.Add(rows)
	}
	f.Fuzz(func(t *testing.T, rows string) {
		r, err := productcsv.NewReader(strings.NewReader(head+rows), "BRL")
		require.NoError(t, err)
		seen, last := 0, 1
		var products []*productcsv.Product
		for {
			p, refused, err := r.Next()
			for _, x := range refused {
				require.NotEmpty(t, x.Reason)
				require.Positive(t, x.Line)
			}
			seen += len(refused)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if p == nil {
				continue
			}
			products = append(products, p)
			seen += len(p.Rows)
			require.NotEmpty(t, p.GetVariants())
			for _, row := range p.Rows {
				require.Greater(t, row.Line, last)
				last = row.Line
				for _, field := range row.Fields {
					require.True(t, utf8.ValidString(field))
				}
			}
		}
		// Both end the file's last line before a lone carriage return. Only encoding/csv turns CRLF in fields into LF.
		c := csv.NewReader(strings.NewReader(head + rows))
		c.FieldsPerRecord = -1
		records, err := c.ReadAll()
		if err != nil {
			return
		}
		require.Equal(t, len(records)-1, seen, "rows")
		lines := map[string]bool{}
		for _, rec := range records {
			for i, cell := range rec {
				rec[i] = productcsv.Unguard(cell)
			}
			lines[strings.Join(rec, "\x1f")] = true
		}
		for _, p := range products {
			for _, row := range p.Rows {
				require.True(t, lines[strings.ReplaceAll(strings.Join(row.Fields, "\x1f"), "\r\n", "\n")], "%q",
					row.Fields)
			}
		}
	})
}
