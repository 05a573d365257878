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
type Writer struct{ csv *csv.Writer }

// NewWriter writes the header and returns a Writer.
func NewWriter(w io.Writer) (*Writer, error) {
	c := csv.NewWriter(w)
	if err := c.Write(written); err != nil {
		return nil, err
	}
	return &Writer{csv: c}, nil
}

// Write writes one product, each cell as [Guard] returns it. Row n holds the product's nth variant and nth image.
func (w *Writer) Write(p *productv1.ImportedProduct) error {
	names := optionNamesOf(p)
	for i := range max(len(p.GetVariants()), len(p.GetImages())) {
		row := map[string]string{colHandle: p.GetHandle(), colVendor: p.GetShop()}
		if i == 0 {
			row[colTitle], row[colBody] = p.GetTitle(), p.GetDescription()
			row[colCategory] = strings.Join(p.GetCategoryPath(), categorySeparator)
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
			row[colCompareAt] = v.GetCompareAtPrice().GetAmount()
		}
		if i < len(p.GetImages()) {
			im := p.GetImages()[i]
			row[colImage], row[colImageAlt], row[colImagePos] = im.GetUrl(), im.GetAlt(), strconv.Itoa(i+1)
		}
		record := make([]string, len(written))
		for j, c := range written {
			record[j] = Guard(row[c])
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

// optionNamesOf returns the names of the variants' options, sorted, at most three.
func optionNamesOf(p *productv1.ImportedProduct) []string {
	names := map[string]bool{}
	for _, v := range p.GetVariants() {
		for name := range v.GetOptions() {
			names[name] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(names))
	return sorted[:min(len(sorted), len(optionColumns))]
}
