package productcsv

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	productv1 "souk/gen/go/souk/product/v1"
)

// Writer writes products as CSV.
type Writer struct {
	csv     *csv.Writer
	further []string
	oneShop bool
}

// NewWriter writes the header and returns a Writer. Of the further columns of products it writes those of further; see
// [FurtherColumns].
func NewWriter(w io.Writer, further ...string) (*Writer, error) { return newWriter(w, false, further) }

// NewShopWriter returns a Writer as NewWriter does, for a file that [OneShop] reads: the Vendor is the brand.
func NewShopWriter(w io.Writer, further ...string) (*Writer, error) {
	return newWriter(w, true, further)
}

func newWriter(w io.Writer, oneShop bool, further []string) (*Writer, error) {
	c := csv.NewWriter(w)
	header := slices.Clone(written)
	for _, name := range further {
		header = append(header, Guard(name))
	}
	if err := c.Write(header); err != nil {
		return nil, err
	}
	return &Writer{csv: c, further: further, oneShop: oneShop}, nil
}

// Write writes one product, each cell as [Guard] returns it. Row n holds the product's nth variant and nth image.
func (w *Writer) Write(p *productv1.ImportedProduct) error {
	names := p.GetOptionNames()
	for i := range max(len(p.GetVariants()), len(p.GetImages())) {
		var further map[string]string
		row := map[string]string{colHandle: p.GetHandle(), colVendor: p.GetShop()}
		if w.oneShop {
			row[colVendor] = p.GetBrand()
		}
		if i == 0 {
			row[colTitle], row[colBody] = p.GetTitle(), p.GetDescription()
			row[colCategory] = JoinCategory(p.GetCategoryPath())
			if row[colCategory] == "" && p.GetProductType() != "" {
				row[colCategory] = uncategorized // otherwise an import takes the type as the category
			}
			row[colType], row[colBrand] = p.GetProductType(), p.GetBrand()
			row[colSEOTitle], row[colSEOText] = p.GetSeoTitle(), p.GetSeoDescription()
			row[colTags] = strings.Join(p.GetTags(), ", ")
			row[colPublished] = strconv.FormatBool(p.GetStatus() == "active")
			row[colStatus] = p.GetStatus()
		}
		if i < len(p.GetVariants()) {
			v := p.GetVariants()[i]
			for j, name := range names {
				if i == 0 {
					row[optionColumns[j][0]] = name
				}
				row[optionColumns[j][1]] = v.GetOptions()[name]
			}
			row[colSKU] = v.GetSku()
			row[colQty] = strconv.FormatInt(v.GetOnHand(), 10)
			row[colPrice], row[colCurrency] = v.GetPrice().GetAmount(), v.GetPrice().GetCurrencyCode()
			row[colCompareAt], row[colCost] = v.GetCompareAtPrice().GetAmount(), v.GetCost().GetAmount()
			row[colWeight], row[colBarcode] = grams(v.GetWeightGrams()), v.GetBarcode()
			row[colVarImage] = v.GetImageUrl()
			further = v.GetFurtherColumns()
		}
		if i < len(p.GetImages()) {
			im := p.GetImages()[i]
			row[colImage], row[colImageAlt], row[colImagePos] = im.GetUrl(), im.GetAlt(), strconv.Itoa(i+1)
		}
		record := make([]string, 0, len(written)+len(w.further))
		for _, c := range written {
			record = append(record, Guard(row[c]))
		}
		for _, c := range w.further {
			record = append(record, Guard(fold(further, c)))
		}
		if err := w.csv.Write(record); err != nil {
			return err
		}
	}
	return nil
}

// Flush writes buffered rows.
func (w *Writer) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

// fold returns the value of a further column, whose name may be spelled in another case.
func fold(columns map[string]string, name string) string {
	if value, ok := columns[name]; ok {
		return value
	}
	for other, value := range columns {
		if columnKey(other) == columnKey(name) {
			return value
		}
	}
	return ""
}

// FurtherColumns are the names of the further columns of products, in the order in which they were first seen. Names
// that differ in case only are one column, and a column of the format is not a further one.
type FurtherColumns struct {
	names []string
	seen  map[string]bool
}

// Add adds the further columns of a product.
func (f *FurtherColumns) Add(p *productv1.ImportedProduct) {
	if f.seen == nil {
		f.seen = map[string]bool{}
		for _, name := range written {
			f.seen[columnKey(name)] = true
		}
	}
	for _, v := range p.GetVariants() {
		for _, name := range slices.Sorted(maps.Keys(v.GetFurtherColumns())) {
			if key := columnKey(name); !f.seen[key] {
				f.seen[key] = true
				f.names = append(f.names, name)
			}
		}
	}
}

// Names returns the names.
func (f *FurtherColumns) Names() []string { return f.names }
