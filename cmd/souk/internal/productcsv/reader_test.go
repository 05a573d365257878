package productcsv_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/productcsv"
	"souk/pkg/errs"
)

const header = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value," +
	"Variant SKU,Variant Inventory Qty,Variant Price,Image Src,Image Position,Status\n"

// readAll reads a whole file. It returns products as short texts and rejections as "line: reason".
func readAll(t *testing.T, file string) (products []*productcsv.Product, rejected []string) {
	t.Helper()
	r, err := productcsv.NewReader(strings.NewReader(file), "BRL")
	require.NoError(t, err)
	for {
		p, refused, err := r.Next()
		for _, x := range refused {
			rejected = append(rejected, fmt.Sprintf("%d: %s", x.Line, x.Reason))
		}
		if errors.Is(err, io.EOF) {
			return products, rejected
		}
		require.NoError(t, err)
		if p != nil {
			products = append(products, p)
		}
	}
}

// brief returns a product as one line of text.
func brief(p *productcsv.Product) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s %q", p.Vendor, p.GetHandle(), p.GetTitle())
	if p.GetStatus() != "" {
		b.WriteString(" " + p.GetStatus())
	}
	for _, v := range p.GetVariants() {
		fmt.Fprintf(&b, " [%s %s %s", v.GetSku(), v.GetPrice().GetCurrencyCode(), v.GetPrice().GetAmount())
		if v.OnHand != nil {
			fmt.Fprintf(&b, " %d", v.GetOnHand())
		}
		for _, name := range []string{"Size", "Colour", "Title"} {
			if value, ok := v.GetOptions()[name]; ok {
				fmt.Fprintf(&b, " %s=%s", name, value)
			}
		}
		b.WriteString("]")
	}
	for _, im := range p.GetImages() {
		fmt.Fprintf(&b, " <%s>", im.GetUrl())
	}
	return b.String()
}

func TestRowsBecomeProducts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows     string
		products []string
		rejected []string
	}{
		"one variant": {
			rows:     "mug,Mug,,Casa,,,true,Title,Default Title,,,MUG-1,5,39.90,,,active\n",
			products: []string{`Casa/mug "Mug" active [MUG-1 BRL 39.90 5]`},
		},
		"options are named in the first row": {
			rows: "tee,Tee,,Casa,,,true,Size,S,Colour,Red,T-S,1,10,,,active\n" +
				"tee,,,,,,,,M,,Blue,T-M,2,11.5,,,\n",
			products: []string{
				`Casa/tee "Tee" active [T-S BRL 10.00 1 Size=S Colour=Red] [T-M BRL 11.50 2 Size=M Colour=Blue]`,
			},
		},
		"rows with images alone": {
			rows: "tee,Tee,,Casa,,,true,Size,S,,,T-S,1,10,https://i/2,2,active\n" +
				"tee,,,,,,,,,,,,,,https://i/1,1,\n" +
				"tee,,,,,,,,,,,,,,https://i/3,,\n",
			products: []string{
				`Casa/tee "Tee" active [T-S BRL 10.00 1 Size=S] <https://i/1> <https://i/2> <https://i/3>`,
			},
		},
		"an option of other values that is called Title": {
			rows:     "cd,CD,,Casa,,,true,Title,Deluxe,,,CD-1,,10,,,active\n",
			products: []string{`Casa/cd "CD" active [CD-1 BRL 10.00 Title=Deluxe]`},
		},
		"a variant may lack a SKU": {
			rows:     "tee,Tee,,Casa,,,true,Size,S,,,,,10,,,\ntee,,,,,,,,M,,,,,10,,,\n",
			products: []string{`Casa/tee "Tee" [ BRL 10.00 Size=S] [ BRL 10.00 Size=M]`},
		},
		"published and status": {
			rows: "a,A,,Casa,,,FALSE,,,,,A,,1,,,active\n" +
				"b,B,,Casa,,,true,,,,,B,,1,,,Draft\n" +
				"c,C,,Casa,,,false,,,,,C,,1,,,archived\n" +
				"d,D,,Casa,,,,,,,,D,,1,,,\ne,E,,Casa,,,true,,,,,E,,1,,,\nf,F,,Casa,,,false,,,,,F,,1,,,\n",
			products: []string{
				`Casa/a "A" draft [A BRL 1.00]`, `Casa/b "B" draft [B BRL 1.00]`, `Casa/c "C" archived [C BRL 1.00]`,
				`Casa/d "D" [D BRL 1.00]`, `Casa/e "E" [E BRL 1.00]`, `Casa/f "F" draft [F BRL 1.00]`,
			},
		},
		"the same handle of another vendor": {
			rows:     "a,A,,Casa,,,,,,,,A,,1,,,\na,B,,Loja,,,,,,,,A,,2,,,\n",
			products: []string{`Casa/a "A" [A BRL 1.00]`, `Loja/a "B" [A BRL 2.00]`},
		},
		"line breaks in quotes, and empty lines": {
			rows: "a,\"A\nline\",,Casa,,,,,,,,A,,1,,,\n\n\r\n" +
				"b,\"say \"\"B\"\", please\",,Casa,,,,,,,,B,,bad,,,\n",
			products: []string{`Casa/a "A\nline" [A BRL 1.00]`},
			rejected: []string{`6: Variant Price "bad" is not an amount of BRL`},
		},
		"prices": {
			rows: "a,A,,Casa,,,,,,,,A,,0,,,\n" +
				"b,B,,Casa,,,,,,,,B,,-1,,,\n" +
				"c,C,,Casa,,,,,,,,C,,1.234,,,\n" +
				"d,D,,Casa,,,,,,,,D,,\"1,50\",,,\n" +
				"e,E,,Casa,,,,,,,,E,,,,,\n" +
				"f,F,,Casa,,,,,,,,F,,99999999999999999999,,,\n" +
				"g,G,,Casa,,,,,,,,G,,NaN,,,\n",
			rejected: []string{
				`2: Variant Price "0" is not more than zero`, `3: Variant Price "-1" is not more than zero`,
				`4: Variant Price "1.234" is not an amount of BRL`, `5: Variant Price "1,50" is not an amount of BRL`,
				`6: Variant Price is empty`, `7: Variant Price "99999999999999999999" is not an amount of BRL`,
				`8: Variant Price "NaN" is not an amount of BRL`,
			},
		},
		"quantities": {
			rows: "a,A,,Casa,,,,,,,,A,-1,1,,,\nb,B,,Casa,,,,,,,,B,1.5,1,,,\nc,C,,Casa,,,,,,,,C,0,1,,,\n",
			products: []string{
				`Casa/a "A" [A BRL 1.00 0]`, `Casa/c "C" [C BRL 1.00 0]`,
			},
			rejected: []string{
				`3: Variant Inventory Qty "1.5" is not a whole number up to 1000000000`,
			},
		},
		"a SKU twice in a product: the first counts": {
			rows:     "tee,Tee,,Casa,,,,Size,S,,,T,1,10,,,\ntee,,,,,,,,M,,,T,2,11,,,\n",
			products: []string{`Casa/tee "Tee" [T BRL 10.00 1 Size=S]`},
			rejected: []string{`3: Variant SKU "T" stands in line 2 too`},
		},
		"short and long lines": {
			rows:     "a,A\nb,B,,Casa,,,,,,,,B,,1,,,\nc,C,,Casa,,,,,,,,C,,1,,,,extra\n",
			products: []string{`Casa/b "B" [B BRL 1.00]`},
			rejected: []string{"2: has 2 fields where the header has 17", "4: has 18 fields where the header has 17"},
		},
		"a product without a title": {
			rows: "a,,,Casa,,,,,,,,A,,1,,,\na,,,Casa,,,,,,,,A2,,1,,,\n",
			rejected: []string{
				"2: Title is empty in all rows of its product",
				"3: its product's first row, line 2, was refused",
			},
		},
		"no handle, no vendor (which may be that of other rows), an odd status": {
			rows: ",A,,Casa,,,,,,,,A,,1,,,\nb,B,,,,,,,,,,B,,1,,,\nc,C,,Casa,,,,,,,,C,,1,,,sold\n",
			rejected: []string{
				"2: Handle is empty", `4: Status "sold" is none of active, draft, archived, unlisted`, "3: Vendor is empty",
			},
		},
		"Published as Shopify writes it, and otherwise": {
			rows: "a,A,,Casa,,,TRUE,,,,,A,,1,,,\nb,B,,Casa,,,False,,,,,B,,1,,,\nc,C,,Casa,,,,,,,,C,,1,,,\nd,D,,Casa,,,maybe,,,,,D,,1,,,\n",
			products: []string{
				`Casa/a "A" [A BRL 1.00]`, `Casa/b "B" draft [B BRL 1.00]`, `Casa/c "C" [C BRL 1.00]`,
			},
			rejected: []string{`5: Published "maybe" is neither true nor false`},
		},
		"a row with nothing": {
			rows:     "a,A,,Casa,,,,,,,,A,,1,,,\na,,,,,,,,,,,,,,,,\n",
			products: []string{`Casa/a "A" [A BRL 1.00]`},
			rejected: []string{"3: has neither a variant nor an image"},
		},
		"bytes that are no text": {
			rows:     "a,\xff\xfe,,Casa,,,,,,,,A,,1,,,\nb,B\x00,,Casa,,,,,,,,B,,1,,,\nc,C,äöü,Casa,,,,,,,,C,,1,,,\n",
			products: []string{`Casa/c "C" [C BRL 1.00]`},
			rejected: []string{"2: Title is not valid UTF-8", "3: Title holds a NUL byte"},
		},
		"a quote that is never closed costs its line alone": {
			rows:     "a,\"A,,Casa,,,,,,,,A,,1,,,\nb,B,,Casa,,,,,,,,B,,1,,,\nc,C,,Casa,,,,,,,,C,,1,,,",
			products: []string{`Casa/b "B" [B BRL 1.00]`, `Casa/c "C" [C BRL 1.00]`},
			rejected: []string{"2: not CSV: a quote is opened and not closed"},
		},
		"quotes where none may be": {
			rows:     "a,5\" pipe,,Casa,,,,,,,,A,,1,,,\nb,\"B\"x,,Casa,,,,,,,,B,,1,,,\nc,C,,Casa,,,,,,,,C,,1,,,\n",
			products: []string{`Casa/c "C" [C BRL 1.00]`},
			rejected: []string{
				"2: not CSV: a quote stands in a field that does not begin with one",
				"3: not CSV: a closing quote is not followed by a comma",
			},
		},
		"options twice in a product: the first count": {
			rows:     "tee,Tee,,Casa,,,,Size,S,,,,1,10,,,\ntee,,,,,,,,S,,,T,2,11,,,\n",
			products: []string{`Casa/tee "Tee" [ BRL 10.00 1 Size=S]`},
			rejected: []string{`3: a variant with the same options stands in line 2 too`},
		},
		"an option's value without its name": {
			rows:     "tee,Tee,,Casa,,,,,S,,,T,1,10,,,\n",
			rejected: []string{"2: Option1 Value has no Option1 Name"},
		},
		"rows of a product that stand apart": {
			rows: "tee,Tee,,Casa,,,,Size,S,,,T-S,1,10,,,\nmug,Mug,,Casa,,,,,,,,M,,5,,,\ntee,,,Casa,,,,,M,,,T-M,2,11,,,\n",
			products: []string{
				`Casa/mug "Mug" [M BRL 5.00]`,
				`Casa/tee "Tee" [T-S BRL 10.00 1 Size=S] [T-M BRL 11.00 2 Size=M]`,
			},
		},
		"rows of a product that stand apart and do not name the vendor": {
			rows: "tee,,,,,,,,M,,,T-M,2,9,,,\nmug,Mug,,Casa,,,,,,,,M,,9.5,,,\ntee,Tee,,Casa,,,,Size,S,,,T-S,1,10,,,\n",
			products: []string{
				`Casa/mug "Mug" [M BRL 9.50]`,
				`Casa/tee "Tee" [T-M BRL 9.00 2 Size=M] [T-S BRL 10.00 1 Size=S]`,
			},
		},
		"rows apart that may be of two vendors": {
			rows: "tee,Tee,,Casa,,,,Size,S,,,T-S,1,10,,,\nmug,Mug,,Casa,,,,,,,,M,,5,,,\n" +
				"tee,,,,,,,,M,,,T-M,2,11,,,\ntee,Tee,,Loja,,,,Size,S,,,T-S,1,10,,,\n",
			products: []string{
				`Casa/mug "Mug" [M BRL 5.00]`, `Casa/tee "Tee" [T-S BRL 10.00 1 Size=S]`,
				`Loja/tee "Tee" [T-S BRL 10.00 1 Size=S]`,
			},
			rejected: []string{"4: Vendor is empty"},
		},
		"SQL, HTML and other scripts are text": {
			rows:     "a,'; drop table product; -- <script>,,Casa Ω,,,,,,,,Ж-1,,1,,,\n",
			products: []string{`Casa Ω/a "'; drop table product; -- <script>" [Ж-1 BRL 1.00]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, form := range []struct{ name, file string }{
				{"LF", header + c.rows},
				{"BOM", "\xef\xbb\xbf" + header + c.rows},
				{"CRLF", strings.ReplaceAll(strings.ReplaceAll(header+c.rows, "\r\n", "\n"), "\n", "\r\n")},
			} {
				products, rejected := readAll(t, form.file)
				var got []string
				for _, p := range products {
					got = append(got, strings.ReplaceAll(brief(p), `\r\n`, `\n`))
				}
				require.Equal(t, c.products, got, form.name)
				require.Equal(t, c.rejected, rejected, form.name)
			}
		})
	}
}

func TestFieldsArriveByteForByte(t *testing.T) {
	t.Parallel()
	products, rejected := readAll(t, header+
		"a,\" A \",\"<p>one\r\ntwo\nthree</p>\",Casa,Home > Kitchen,\"red, blue ,, \",,,,,,A,,1,,,\n")
	require.Empty(t, rejected)
	require.Len(t, products, 1)
	p := products[0]
	require.Equal(t, " A ", p.GetTitle())
	require.Equal(t, "<p>one\r\ntwo\nthree</p>", p.GetDescription())
	require.Equal(t, []string{"Home", "Kitchen"}, p.GetCategoryPath())
	require.Equal(t, []string{"red", "blue"}, p.GetTags())
	require.Len(t, p.Rows, 1)
	require.Equal(t, 2, p.Rows[0].Line)
}

func TestRowsCurrencyOverridesTheDefault(t *testing.T) {
	t.Parallel()
	const head = "Handle,Title,Vendor,Variant Price,Variant Compare At Price,Currency\n"
	products, rejected := readAll(t,
		head+"a,A,V,1000,1200,jpy\nb,B,V,1.5,,EUR\nc,C,V,1.5,,JPY\nd,D,V,1,,XXQ\ne,E,V,2,-1,\n")
	require.Len(t, products, 2)
	require.Equal(t, `V/a "A" [ JPY 1000]`, brief(products[0]))
	require.Equal(t, "1200", products[0].GetVariants()[0].GetCompareAtPrice().GetAmount())
	require.Equal(t, `V/b "B" [ EUR 1.50]`, brief(products[1]))
	require.Equal(t, []string{
		`4: Variant Price "1.5" is not an amount of JPY`, `5: Variant Price "1" is not an amount of XXQ`,
		`6: Variant Compare At Price "-1" is not more than zero`,
	}, rejected)
}

func TestColumnsMayBeNamedLooselyAndUnknown(t *testing.T) {
	t.Parallel()
	products, rejected := readAll(t, "variant price, VENDOR ,Google Shopping / MPN,title,handle\n3,V,x,T,h\n")
	require.Empty(t, rejected)
	require.Len(t, products, 1)
	require.Equal(t, `V/h "T" [ BRL 3.00]`, brief(products[0]))
}

func TestCompareAtOfZeroIsNone(t *testing.T) {
	t.Parallel()
	const head = "Handle,Title,Vendor,Variant Price,Variant Compare At Price,Currency\n"
	products, rejected := readAll(
		t,
		head+"a,A,V,1,0,\nb,B,V,1,0.00,\nc,C,V,1,0.0000,\nd,D,V,1,0,JPY\ne,E,V,1,0.00,JPY\n",
	)
	require.Empty(t, rejected)
	require.Len(t, products, 5)
	for _, p := range products {
		require.Regexp(t, `^0(\.00)?$`, p.GetVariants()[0].GetCompareAtPrice().GetAmount(), p.GetHandle())
	}
}

func TestPresentHeaderOfShopifyIsRead(t *testing.T) {
	t.Parallel()
	const head = "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode," +
		"Option1 name,Option1 value,Price,Compare-at price,Inventory quantity,Product image URL,Image position,Image alt text\n"
	products, rejected := readAll(t, head+
		"Tee,tee,<p>Soft</p>,Casa,Apparel > Shirts,,\"new, red\",TRUE,Active,T-S,,Size,S,10.00,12.00,3,https://i/1,1,front\n"+
		",tee,,,,,,,,T-M,,,M,11.00,,4,,,\n"+
		"Mug,mug,,Casa,,,,TRUE,Unlisted,M,,,,free,,,,,\n"+
		"Mug,mug2,,Casa,,,,TRUE,Unlisted,M,,,,5,,,,,\n")
	require.Equal(t, []string{`4: Price "free" is not an amount of BRL`}, rejected)
	require.Len(t, products, 2)
	require.Equal(
		t,
		`Casa/tee "Tee" active [T-S BRL 10.00 3 Size=S] [T-M BRL 11.00 4 Size=M] <https://i/1>`,
		brief(products[0]),
	)
	require.Equal(t, "<p>Soft</p>", products[0].GetDescription())
	require.Equal(t, []string{"Apparel", "Shirts"}, products[0].GetCategoryPath())
	require.Equal(t, []string{"new", "red"}, products[0].GetTags())
	require.Equal(t, "12.00", products[0].GetVariants()[0].GetCompareAtPrice().GetAmount())
	require.Equal(t, "front", products[0].GetImages()[0].GetAlt())
	require.Equal(t, "draft", products[1].GetStatus())
}

// A file of the first format may have further columns with the names of today.
func TestFirstNamesOfColumnsComeBeforePresentOnes(t *testing.T) {
	t.Parallel()
	products, rejected := readAll(t, "Price,Handle,Title,Vendor,Variant Price,SKU\n9,a,A,V,1,x\n")
	require.Empty(t, rejected)
	require.Equal(t, `V/a "A" [x BRL 1.00]`, brief(products[0]))
}

func TestFileForOneShopNeedsNoVendor(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"Handle,Title,Variant Price,Variant SKU\na,A,1,A1\na,,2,A2\nb,B,1,B1\n",
		"Handle,Title,Variant Price,Variant SKU,Vendor\na,A,1,A1,Nike\na,,2,A2,Adidas\nb,B,1,B1,\n",
	} {
		r, err := productcsv.NewReader(strings.NewReader(file), "BRL", productcsv.OneShop())
		require.NoError(t, err)
		for _, want := range []string{`/a "A" [A1 BRL 1.00] [A2 BRL 2.00]`, `/b "B" [B1 BRL 1.00]`} {
			p, refused, err := r.Next()
			require.NoError(t, err)
			require.Empty(t, refused)
			require.Equal(t, want, brief(p))
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"empty":            {"", "the file is empty"},
		"blank":            {"\n\r\n\n", "the file is empty"},
		"another header":   {"id;name\n1;x\n", "its header lacks Handle, Title, Vendor, Variant Price"},
		"one is missing":   {"Handle,Title,Vendor\na,A,V\n", "its header lacks Variant Price"},
		"a column twice":   {"Handle,Title,Vendor,Variant Price,title\n", `the column "title" twice`},
		"quote unclosed":   {"\"Handle,Title\n", "a quote is opened and not closed"},
		"a picture":        {"\x89PNG\r\n\x1a\n\x00\x00", "its header lacks"},
		"one endless line": {strings.Repeat("x", 5<<20), "is longer than 2097152 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := productcsv.NewReader(strings.NewReader(c.file), "BRL")
			require.True(t, errs.Is(err, errs.Invalid), "%v", err)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := productcsv.NewReader(strings.NewReader(header), "nonsense")
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
}

func TestReadErrorIsReturned(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	r, err := productcsv.NewReader(
		io.MultiReader(strings.NewReader(header+"a,A,,Casa,,,,,,,,A,,1,,,\n"), failing{broken}), "BRL",
	)
	require.NoError(t, err)
	p, _, err := r.Next()
	require.NoError(t, err)
	require.NotNil(t, p)
	_, _, err = r.Next()
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A refused row can be corrected and imported by itself, also when it was refused before.
func TestRefusedRowHasTheCellsOfItsProduct(t *testing.T) {
	t.Parallel()
	file := "Line,Reason," + header +
		"9,is bad,tee,Tee,<p>Soft</p>,Casa,Tops,red,true,Size,S,Colour,Red,T-S,1,10,,,active\n" +
		"10,is bad,tee,,,,,,,,M,,Blue,T-M,2,free,,,\n"
	r, err := productcsv.NewReader(strings.NewReader(file), "BRL")
	require.NoError(t, err)
	require.Equal(t, "Handle", r.Header()[0])
	p, refused, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, `Casa/tee "Tee" active [T-S BRL 10.00 1 Size=S Colour=Red]`, brief(p))
	require.True(t, p.GetPartial(), "a row of it was refused")
	require.Len(t, refused, 1)
	require.Equal(t, 3, refused[0].Line)
	require.Equal(
		t,
		strings.Split("tee,Tee,<p>Soft</p>,Casa,Tops,red,true,Size,M,Colour,Blue,T-M,2,free,,,active", ","),
		refused[0].Fields,
	)
}

func TestRejectionNamesItsProductIfThatIsKnown(t *testing.T) {
	t.Parallel()
	r, err := productcsv.NewReader(
		strings.NewReader(header+"a,A,,Casa,,,,,,,,A,,1,,,\na,,,,,,,,,,,A2,,free,,,\nshort\n"+
			",,,,,,,,,,,A3,,1,,,\nA,,,Casa,,,,,,,,A4,,1,,,\nb,B,,Casa,,,,,,,,B,,free,,,\n"),
		"BRL",
	)
	require.NoError(t, err)
	handles := map[int]string{}
	for err == nil {
		var refused []productcsv.Rejection
		_, refused, err = r.Next()
		for _, x := range refused {
			handles[x.Line] = x.Handle
		}
	}
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, map[int]string{3: "a", 4: "", 5: "", 6: "", 7: "b"}, handles)
}

func TestFileWithoutAColumnSaysNothingAboutIt(t *testing.T) {
	t.Parallel()
	products, rejected := readAll(t, "Handle,Title,Vendor,Variant SKU,Variant Price\na,A,V,A,1\n")
	require.Empty(t, rejected)
	require.Empty(t, products[0].GetStatus())
	require.Nil(t, products[0].GetVariants()[0].CompareAtPrice)
	// Files of Shopify's first format say by Published alone what is shown.
	products, _ = readAll(t, "Handle,Title,Vendor,Variant Price,Published\na,A,V,1,true\nb,B,V,1,false\nc,C,V,1,\n")
	require.Equal(t, []string{"active", "draft", ""},
		[]string{products[0].GetStatus(), products[1].GetStatus(), products[2].GetStatus()})
}
