package productcsv

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/money"
)

const (
	maxField    = 1 << 20 // bytes of a field
	maxRows     = 2000    // rows of one product
	maxProduct  = 4 << 20 // bytes of one product's rows
	maxRefused  = 100     // refused rows that Next holds until their product is complete
	maxVariants = 200
)

// Row is a row of the file as it was read.
type Row struct {
	// Line is the number of the row's first line; the header is line 1.
	Line int
	// Fields are the row's columns, without the apostrophes of [Guard]. A malformed row may have more or fewer than the
	// header.
	Fields []string

	size int
}

// Rejection is a row that can't be imported, and the reason.
type Rejection struct {
	Row
	Reason string
}

// Product is a product of the file with its rows.
type Product struct {
	// Vendor is the shop as the file names it.
	Vendor string
	*productv1.ImportedProduct
	// Rows are the accepted rows, in the file's order.
	Rows []Row
}

// Reader reads products from a file.
type Reader struct {
	records  *records
	header   []string
	column   map[string]int // by the column's name in format.go, in lower case
	currency string
	oneShop  bool
	count    *counter
	encoding string

	group   []*Row // the rows of the product that is being read
	size    int    // the size of group in bytes
	next    *Row   // read ahead
	nextErr error
}

// BytesRead returns how many bytes of the file were read.
func (r *Reader) BytesRead() int64 { return r.count.n }

// read returns the next row, or a Rejection if the row is malformed.
func (r *Reader) read() (*Row, *Rejection, error) {
	if r.next != nil || r.nextErr != nil {
		row, err := r.next, r.nextErr
		r.next, r.nextErr = nil, nil
		return row, nil, err
	}
	rec, err := r.records.next()
	if errors.Is(err, io.EOF) {
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the file: %w", err)
	}
	for i, cell := range rec.fields {
		rec.fields[i] = unguard(cell)
	}
	row := Row{Line: rec.line, Fields: rec.fields, size: rec.size}
	if rec.bad == "" {
		rec.bad = r.malformed(rec.fields)
	}
	if rec.bad != "" {
		return nil, &Rejection{Row: row, Reason: rec.bad}, nil
	}
	return &row, nil, nil
}

func (r *Reader) malformed(fields []string) string {
	if len(fields) != len(r.header) {
		return fmt.Sprintf("has %d fields where the header has %d", len(fields), len(r.header))
	}
	for i, f := range fields {
		switch {
		case len(f) > maxField:
			return fmt.Sprintf("%s is longer than %d bytes", r.header[i], maxField)
		case !utf8.ValidString(f):
			return r.header[i] + " is not valid UTF-8"
		case r.encoding == windowsText && strings.ContainsRune(f, utf8.RuneError):
			return r.header[i] + " is not valid Windows-1252"
		case strings.ContainsRune(f, 0):
			return r.header[i] + " holds a NUL byte"
		}
	}
	return ""
}

func (r *Reader) get(row *Row, column string) string {
	i, ok := r.column[columnKey(column)]
	if !ok {
		return ""
	}
	return row.Fields[i]
}

// label returns a column's name as the file spells it.
func (r *Reader) label(column string) string {
	if i, ok := r.column[columnKey(column)]; ok {
		return strings.TrimSpace(r.header[i])
	}
	return column
}

// vendor returns the vendor that a row names, or "" if the file is read into one shop.
func (r *Reader) vendor(row *Row) string {
	if r.oneShop {
		return ""
	}
	return r.trimmed(row, colVendor)
}

func (r *Reader) trimmed(row *Row, column string) string {
	return strings.TrimSpace(r.get(row, column))
}

// Next returns the next product and the rows that it refused since the last call. At the end of the file it returns
// io.EOF. The product is nil if all its rows were refused, and also if maxRefused rows were refused before the product
// was complete: then a later call returns the product.
func (r *Reader) Next() (*Product, []Rejection, error) {
	var refused []Rejection
	if len(r.group) == 0 {
		first, bad, err := r.read()
		if err != nil {
			return nil, nil, err
		}
		if bad != nil {
			return nil, []Rejection{*bad}, nil
		}
		r.group, r.size = append(r.group, first), first.size
	}
	handle, vendor := r.trimmed(r.group[0], colHandle), r.vendor(r.group[0])
	for {
		if len(refused) == maxRefused {
			return nil, refused, nil
		}
		row, bad, err := r.read()
		if bad != nil {
			refused = append(refused, *bad)
			continue
		}
		if err != nil {
			r.nextErr = err
			break
		}
		v := r.vendor(row)
		if r.trimmed(row, colHandle) != handle || v != "" && v != vendor {
			r.next = row
			break
		}
		if len(r.group) == maxRows {
			reason := fmt.Sprintf("its product has more than %d rows", maxRows)
			refused = append(refused, Rejection{Row: *row, Reason: reason})
			continue
		}
		if r.size+row.size > maxProduct {
			reason := fmt.Sprintf("the rows of its product are longer than %d bytes", maxProduct)
			refused = append(refused, Rejection{Row: *row, Reason: reason})
			continue
		}
		r.group, r.size = append(r.group, row), r.size+row.size
	}
	rows := r.group
	r.group, r.size = nil, 0
	p, bad := r.product(handle, vendor, rows)
	return p, append(refused, bad...), nil
}

// product makes a product from its rows. It is nil if no row holds an acceptable variant.
func (r *Reader) product(handle, vendor string, rows []*Row) (*Product, []Rejection) {
	first := rows[0]
	if reason := r.headReason(first, handle, vendor); reason != "" {
		refused := []Rejection{{Row: *first, Reason: reason}}
		for _, row := range rows[1:] {
			reason := fmt.Sprintf("its product's first row, line %d, was refused", first.Line)
			refused = append(refused, Rejection{Row: *row, Reason: reason})
		}
		return nil, refused
	}
	p := &Product{Vendor: vendor, ImportedProduct: &productv1.ImportedProduct{
		Handle: handle, Title: r.get(first, colTitle), Description: r.get(first, colBody),
		CategoryPath: splitList(firstOf(r.trimmed(first, colCategory), r.trimmed(first, colType)), ">"),
		Tags:         splitList(r.get(first, colTags), ","),
		Status:       r.status(first),
	}}
	var refused []Rejection
	var images []positioned
	names := r.optionNames(first)
	seen := map[string]int{}
	for i, row := range rows {
		if src := r.trimmed(row, colImage); src != "" {
			pos, err := strconv.Atoi(r.trimmed(row, colImagePos))
			if err != nil {
				pos = len(images) + 1
			}
			images = append(images, positioned{pos, &productv1.Image{Url: src, Alt: r.trimmed(row, colImageAlt)}})
		}
		if i > 0 && r.trimmed(row, colPrice) == "" && r.trimmed(row, colSKU) == "" &&
			r.trimmed(row, optionColumns[0][1]) == "" {
			if r.trimmed(row, colImage) == "" {
				refused = append(refused, Rejection{Row: *row, Reason: "has neither a variant nor an image"})
				continue
			}
			p.Rows = append(p.Rows, *row)
			continue
		}
		v, reason := r.variant(row, names)
		if reason == "" {
			if v.Sku == "" {
				v.Sku = generatedSKU(handle, len(p.GetVariants()))
			}
			if line, twice := seen[v.GetSku()]; twice {
				reason = fmt.Sprintf("%s %q stands in line %d too", r.label(colSKU), v.GetSku(), line)
			} else if len(p.GetVariants()) == maxVariants {
				reason = fmt.Sprintf("its product has more than %d variants", maxVariants)
			}
		}
		if reason != "" {
			refused = append(refused, Rejection{Row: *row, Reason: reason})
			continue
		}
		seen[v.GetSku()] = row.Line
		p.Variants = append(p.Variants, v)
		p.Rows = append(p.Rows, *row)
	}
	if len(p.GetVariants()) == 0 {
		for _, row := range p.Rows {
			refused = append(refused, Rejection{Row: row, Reason: "its product has no variant that is good"})
		}
		return nil, refused
	}
	sort.SliceStable(images, func(i, j int) bool { return images[i].pos < images[j].pos })
	for _, im := range images {
		p.Images = append(p.Images, im.image)
	}
	return p, refused
}

type positioned struct {
	pos   int
	image *productv1.Image
}

func (r *Reader) headReason(row *Row, handle, vendor string) string {
	switch {
	case handle == "":
		return r.label(colHandle) + " is empty"
	case vendor == "" && !r.oneShop:
		return r.label(colVendor) + " is empty"
	case r.trimmed(row, colTitle) == "":
		return "Title is empty in the first row of its product"
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

// status returns the product's status: that of Status, or active if it is empty. An active product with Published
// false is a draft. So is an unlisted one: souk has no products that only a link shows.
func (r *Reader) status(row *Row) string {
	s := strings.ToLower(r.trimmed(row, colStatus))
	if s == "" {
		s = "active"
	}
	if s == "active" && strings.EqualFold(r.trimmed(row, colPublished), "false") || s == "unlisted" {
		s = "draft"
	}
	return s
}

func (r *Reader) optionNames(row *Row) [3]string {
	var names [3]string
	for i, c := range optionColumns {
		names[i] = r.trimmed(row, c[0])
	}
	return names
}

func (r *Reader) variant(row *Row, names [3]string) (*productv1.VariantInput, string) {
	v := &productv1.VariantInput{Sku: r.trimmed(row, colSKU)}
	for i, c := range optionColumns {
		value := r.trimmed(row, c[1])
		if value == "" || names[i] == "" || i == 0 && names[i] == "Title" && value == "Default Title" {
			continue
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
	if s := r.trimmed(row, colCompareAt); !isZero(s) {
		if v.CompareAtPrice, reason = r.price(colCompareAt, s, currency); reason != "" {
			return nil, reason
		}
	}
	if s := r.trimmed(row, colQty); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > 1_000_000_000 {
			return nil, fmt.Sprintf("%s %q is not a whole number from 0 to 1000000000", r.label(colQty), shorten(s))
		}
		v.OnHand = &n
	}
	return v, ""
}

// isZero reports whether a cell says that there is no amount: it is empty or, as many shops write it, zero.
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

func generatedSKU(handle string, n int) string {
	if len(handle) > 90 {
		handle = handle[:90]
	}
	if n == 0 {
		return handle
	}
	return handle + "-" + strconv.Itoa(n+1)
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
