package productcsv

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/money"
)

// product makes a product from its rows. It is nil if no row holds an acceptable variant. A refused row gets the
// product's own cells, so that it can be corrected and imported by itself.
func (r *Reader) product(g *group) (*Product, []Rejection) {
	head := g.rows[0]
	if i := slices.IndexFunc(g.rows, func(row *Row) bool { return r.trimmed(row, colTitle) != "" }); i >= 0 {
		head = g.rows[i]
	}
	var refused []Rejection
	refuse := func(row Row, reason string) {
		refused = append(refused, Rejection{Row: row, Reason: reason, Handle: g.handle})
	}
	if reason := r.headReason(head, g); reason != "" {
		for _, row := range g.rows {
			why := reason
			if row != head {
				why = fmt.Sprintf("its product's first row, line %d, was refused", head.Line)
			}
			refuse(*row, why)
			if r.trimmed(head, colTitle) == "" { // nothing shows that these rows are a product of their own
				refused[len(refused)-1].Handle = ""
			}
		}
		return nil, g.withNeighbours(refused)
	}
	p := &Product{Vendor: g.vendor, Beside: g.beside, ImportedProduct: &productv1.ImportedProduct{
		Handle: g.handle, Title: r.get(head, colTitle), Description: r.get(head, colBody),
		CategoryPath: r.category(head),
		Tags:         splitList(r.get(head, colTags), ","),
		Status:       r.status(head),
	}}
	p.FileCategory = p.GetCategoryPath()
	r.readDetails(p, head)
	var images []positioned
	names := r.optionNames(g.rows, head)
	seen, kept := map[string]int{}, 0
	for _, row := range g.rows {
		if src := r.trimmed(row, colImage); src != "" {
			pos, err := strconv.Atoi(r.trimmed(row, colImagePos))
			if err != nil {
				pos = len(images) + 1
			}
			images = append(images, positioned{pos, &productv1.Image{Url: src, Alt: r.trimmed(row, colImageAlt)}})
		}
		if row != head && r.trimmed(row, colPrice) == "" && r.trimmed(row, colSKU) == "" &&
			r.trimmed(row, optionColumns[0][1]) == "" {
			r.dropFurther(row)
			if r.trimmed(row, colImage) == "" {
				refuse(*row, "has neither a variant nor an image")
				continue
			}
			p.Rows = append(p.Rows, *row)
			continue
		}
		v, reason := r.variant(row, names)
		if reason == "" {
			reason = r.repeated(v, row, seen)
		}
		if reason == "" && len(p.GetVariants()) == maxVariants {
			reason = fmt.Sprintf("its product has more than %d variants", maxVariants)
		}
		if reason != "" {
			refuse(r.standalone(row, head, names), reason)
			continue
		}
		kept += r.keepFurther(v, row, maxKept-kept)
		p.Variants = append(p.Variants, v)
		p.Rows = append(p.Rows, *row)
	}
	if len(p.GetVariants()) == 0 {
		for _, row := range p.Rows {
			refuse(r.standalone(&row, head, names), "its product has no variant that is good")
		}
		return nil, g.withNeighbours(refused)
	}
	p.Partial = g.partial || len(refused) > 0 || r.own > 0 // the rows that were accepted before are not here
	p.OptionNames = orderedOptions(names, p.GetVariants())
	sort.SliceStable(images, func(i, j int) bool { return images[i].pos < images[j].pos })
	for _, im := range images {
		p.Images = append(p.Images, im.image)
	}
	return p, refused
}

func (g *group) withNeighbours(refused []Rejection) []Rejection {
	for i := range refused {
		refused[i].Beside = g.beside
	}
	return refused
}

// repeated returns the reason why a variant is there already, or "". Line says where each SKU and combination of
// options stands.
func (r *Reader) repeated(v *productv1.VariantInput, row *Row, line map[string]int) string {
	keys := map[string]string{}
	if v.GetSku() != "" {
		keys["sku "+v.GetSku()] = fmt.Sprintf("%s %q", r.label(colSKU), v.GetSku())
	}
	if len(v.GetOptions()) > 0 || v.GetSku() == "" {
		// A variant with a SKU and without options may have options in the shop.
		keys[fmt.Sprint("options ", v.GetOptions())] = "a variant with the same options"
	}
	for key, what := range keys {
		if first, twice := line[key]; twice {
			return fmt.Sprintf("%s stands in line %d too", what, first)
		}
	}
	for key := range keys {
		line[key] = row.Line
	}
	return ""
}

// standalone returns a row with the cells that it has from its product's first row.
func (r *Reader) standalone(row, head *Row, names [3]string) Row {
	own := *row
	own.Fields = slices.Clone(row.Fields)
	fill := func(column, value string) {
		if i, ok := r.column[column]; ok && strings.TrimSpace(own.Fields[i]) == "" {
			own.Fields[i] = value
		}
	}
	for _, column := range productColumns {
		fill(column, r.get(head, column))
	}
	for i, c := range optionColumns {
		fill(c[0], names[i])
	}
	return own
}

type positioned struct {
	pos   int
	image *productv1.Image
}

func (r *Reader) headReason(row *Row, g *group) string {
	switch {
	case g.handle == "":
		return r.label(colHandle) + " is empty"
	case g.vendor == "" && !r.oneShop:
		return r.label(colVendor) + " is empty"
	case r.trimmed(row, colTitle) == "":
		return "Title is empty in all rows of its product"
	}
	switch s := strings.ToLower(r.trimmed(row, colStatus)); s {
	case "", "active", "draft", "archived", "unlisted":
	default:
		return fmt.Sprintf("Status %q is none of active, draft, archived, unlisted", s)
	}
	switch s := strings.ToLower(r.trimmed(row, colPublished)); s {
	case "", "true", "false":
	default:
		return fmt.Sprintf("%s %q is neither true nor false", r.label(colPublished), s)
	}
	return ""
}

// status returns the product's status, or none if the file does not say it: that of Status, or if there is no such
// column, active for Published true. Published false makes a draft of a product that is not archived. So does unlisted:
// souk has no products that only a link shows.
func (r *Reader) status(row *Row) string {
	s, published := strings.ToLower(r.trimmed(row, colStatus)), strings.ToLower(r.trimmed(row, colPublished))
	switch {
	case s == "unlisted", published == "false" && s != "archived":
		return "draft"
	case published == "true" && !r.has(colStatus):
		return "active"
	}
	return s
}

// optionNames returns the names of a product's options. They stand in its first row, which need not be the first one
// in a file that was sorted.
func (r *Reader) optionNames(rows []*Row, head *Row) [3]string {
	var names [3]string
	for i, c := range optionColumns {
		names[i] = r.trimmed(head, c[0])
		for _, row := range rows {
			names[i] = firstOf(names[i], r.trimmed(row, c[0]))
		}
	}
	return names
}

func (r *Reader) variant(row *Row, names [3]string) (*productv1.VariantInput, string) {
	v := &productv1.VariantInput{Sku: r.trimmed(row, colSKU)}
	for i, c := range optionColumns {
		value := r.trimmed(row, c[1])
		if value == "" || i == 0 && firstOf(names[i], "Title") == "Title" && value == "Default Title" {
			continue
		}
		if names[i] == "" {
			return nil, fmt.Sprintf("%s has no %s", r.label(c[1]), r.label(c[0]))
		}
		if v.Options == nil {
			v.Options = map[string]string{}
		}
		v.Options[names[i]] = value
	}
	currency := firstOf(strings.ToUpper(r.trimmed(row, colCurrency)), r.currency)
	price, reason := r.price(colPrice, r.trimmed(row, colPrice), currency)
	if reason != "" {
		return nil, reason
	}
	v.Price = price
	switch s := r.trimmed(row, colCompareAt); {
	case s == "":
	case isZero(s):
		v.CompareAtPrice = money.New(0, money.Currency(currency)).ToProto() // ends a reduction
	default:
		if v.CompareAtPrice, reason = r.price(colCompareAt, s, currency); reason != "" {
			return nil, reason
		}
	}
	if reason := r.readVariantDetails(v, row, currency); reason != "" {
		return nil, reason
	}
	if s := r.trimmed(row, colQty); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > 1_000_000_000 {
			return nil, fmt.Sprintf("%s %q is not a whole number up to 1000000000", r.label(colQty), shorten(s))
		}
		n = max(n, 0) // of an oversold variant
		v.OnHand = &n
	}
	return v, ""
}

// isZero reports whether a cell that is not empty says that there is no amount, as many shops write it.
func isZero(s string) bool { return strings.Trim(s, "0.,") == "" }

func (r *Reader) price(column, s, currency string) (*moneyv1.Money, string) {
	label := r.label(column)
	if s == "" {
		return nil, label + " is empty"
	}
	m, err := money.ParseLoose(r.decimalPoint(s), currency)
	if err != nil {
		return nil, fmt.Sprintf("%s %q is not an amount of %s", label, shorten(s), currency)
	}
	if m.Minor() <= 0 {
		return nil, fmt.Sprintf("%s %q is not more than zero", label, shorten(s))
	}
	return m.ToProto(), ""
}

func splitList(s, sep string) []string {
	var out []string
	for part := range strings.SplitSeq(s, sep) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
