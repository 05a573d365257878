package productcsv

import (
	"fmt"
	"strconv"
	"strings"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/money"
)

// readDetails reads what the product's first row says besides the columns that every product has. A column that the
// file lacks stays unset, so that an import keeps what souk has.
func (r *Reader) readDetails(p *Product, first *Row) {
	p.Brand = r.optional(first, colBrand)
	if p.Brand == nil && r.oneShop {
		p.Brand = r.optional(first, colVendor)
	}
	p.ProductType = r.optional(first, colType)
	if r.has(colSEOTitle) {
		title := r.get(first, colSEOTitle)
		p.SeoTitle = &title
	}
	if r.has(colSEOText) {
		text := r.get(first, colSEOText)
		p.SeoDescription = &text
	}
	for _, i := range r.further {
		p.FurtherColumnNames = append(p.FurtherColumnNames, strings.TrimSpace(r.header[i]))
	}
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

// optional returns a trimmed cell, or nil if the file lacks the column.
func (r *Reader) optional(row *Row, column string) *string {
	if !r.has(column) {
		return nil
	}
	s := r.trimmed(row, column)
	return &s
}

// readVariantDetails reads what a row says about its variant besides the columns that every variant has. It returns the
// reason if the row can't be imported.
func (r *Reader) readVariantDetails(v *productv1.VariantInput, row *Row, currency string) (reason string) {
	v.Barcode, v.ImageUrl = r.optional(row, colBarcode), r.optional(row, colVarImage)
	if s := r.trimmed(row, colWeight); s != "" {
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
	} else if r.has(colWeight) {
		v.WeightGrams = new(float64)
	}
	switch s := r.trimmed(row, colCost); {
	case !r.has(colCost):
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
