package productcsv

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/money"
)

// readDetails reads what the product's first row says besides the columns that every product has. An empty cell, as a
// column that the file lacks, stays unset, so that an import keeps what souk has.
func (r *Reader) readDetails(p *Product, first *Row) {
	brand := colBrand
	if r.oneShop && !r.has(colBrand) {
		brand = colVendor
	}
	p.Brand, p.ProductType = unlessBlank(r.trimmed(first, brand)), unlessBlank(r.trimmed(first, colType))
	p.SeoTitle, p.SeoDescription = unlessBlank(r.get(first, colSEOTitle)), unlessBlank(r.get(first, colSEOText))
}

// category returns the path of a product's category. The product's type is its category if the file has no other.
func (r *Reader) category(first *Row) []string {
	category := firstOf(r.trimmed(first, colCategory), r.trimmed(first, colType))
	if category == uncategorized {
		return nil
	}
	return SplitCategory(category)
}

// SplitCategory returns the path of a category, e.g. Home and Lamps for "Home > Lamps".
func SplitCategory(category string) []string { return splitList(category, ">") }

// JoinCategory returns a category as a file has it.
func JoinCategory(path []string) string { return strings.Join(path, categorySeparator) }

// unlessBlank returns a cell, or nil if it is blank.
func unlessBlank(cell string) *string {
	if strings.TrimSpace(cell) == "" {
		return nil
	}
	return &cell
}

// readVariantDetails reads what a row says about its variant besides the columns that every variant has. It returns the
// reason if the row can't be imported.
func (r *Reader) readVariantDetails(v *productv1.VariantInput, row *Row, currency string) (reason string) {
	v.Barcode, v.ImageUrl = unlessBlank(r.trimmed(row, colBarcode)), unlessBlank(r.trimmed(row, colVarImage))
	if s := r.trimmed(row, colWeight); s != "" {
		if r.records.separator == ';' && thousandOrFraction.MatchString(s) {
			return fmt.Sprintf("%s %q is ambiguous: write %s, or %s0 for a fraction", r.label(colWeight), s,
				strings.NewReplacer(".", "", ",", "").Replace(s), s)
		}
		grams, err := strconv.ParseFloat(r.decimalPoint(s), 64)
		if err != nil || !(grams >= 0 && grams <= maxGrams) {
			return fmt.Sprintf(
				"%s %q is not a number from 0 to %.0f",
				r.label(colWeight),
				shorten(s),
				float64(maxGrams),
			)
		}
		v.WeightGrams = &grams
	}
	switch s := r.trimmed(row, colCost); {
	case s == "":
	case isZero(s):
		v.Cost = money.New(0, money.Currency(currency)).ToProto()
	default:
		if v.Cost, reason = r.price(colCost, s, currency); reason != "" {
			return reason
		}
	}
	return ""
}

const maxGrams = 1e9

// thousandOrFraction matches a number whose point or comma may separate thousands or a fraction of three digits, in a
// file that may have decimal commas.
var thousandOrFraction = regexp.MustCompile(`^[+-]?[1-9]\d{0,2}[.,]\d{3}$`)

// keepFurther adds a row's further columns to its variant, as far as they have at most left bytes, and returns their
// size.
func (r *Reader) keepFurther(v *productv1.VariantInput, row *Row, left int) int {
	size := 0
	for _, i := range r.further {
		name, value := strings.TrimSpace(r.header[i]), row.Fields[i]
		if value == "" {
			continue
		}
		if size+len(name)+len(value) > left {
			r.drop(name)
			continue
		}
		if v.FurtherColumns == nil {
			v.FurtherColumns = map[string]string{}
		}
		v.FurtherColumns[name] = value
		size += len(name) + len(value)
	}
	return size
}

// dropFurther notes the further columns of a row that has no variant to keep them.
func (r *Reader) dropFurther(row *Row) {
	for _, i := range r.further {
		if row.Fields[i] != "" {
			r.drop(strings.TrimSpace(r.header[i]))
		}
	}
}

// orderedOptions returns the names of the options that variants have, in the order of the file's columns.
func orderedOptions(names [3]string, variants []*productv1.VariantInput) []string {
	var order []string
	for _, name := range names {
		for _, v := range variants {
			if _, ok := v.GetOptions()[name]; ok {
				order = append(order, name)
				break
			}
		}
	}
	return order
}

// grams writes a weight with as few digits as it needs. An unknown weight is empty.
func grams(weight float64) string {
	if weight == 0 {
		return ""
	}
	return strconv.FormatFloat(weight, 'f', -1, 64)
}
