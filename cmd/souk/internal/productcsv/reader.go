package productcsv

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	productv1 "souk/gen/go/souk/product/v1"
)

const (
	maxField    = 1 << 20 // bytes of a field
	maxRows     = 2000    // rows of one product
	maxProduct  = 4 << 20 // bytes of one product's rows
	maxRefused  = 100     // refused rows that Next holds until their product is complete
	maxVariants = 200
	maxFurther  = 100       // further columns
	maxName     = 255       // characters of a further column's name
	maxKept     = 256 << 10 // bytes of all further columns of a product
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
	// Handle is that of the row's product; "" if the row may be of any product.
	Handle string
	// Beside are the handles of the products before and behind, if all of the row's product was refused.
	Beside []string
}

// Product is a product of the file with its rows. It is partial if a row that names its handle and vendor was refused.
// So may be rows that name another product, or none: see [Rejection].
type Product struct {
	// Vendor is the shop as the file names it.
	Vendor string
	*productv1.ImportedProduct
	// FileCategory is the path of the category as the file has it.
	FileCategory []string
	// Rows are the accepted rows, in the file's order.
	Rows []Row
	// Beside are the handles of the products before and behind.
	Beside []string
}

// Reader reads products from a file.
type Reader struct {
	records  *records
	header   []string
	column   map[string]int // by the column's name in format.go
	currency string
	oneShop  bool
	count    *counter
	encoding string
	further  []int    // the indices of further columns
	dropped  []string // columns that were not kept, or not everywhere

	// own is how many columns at the beginning of a row are souk's: those that it writes before rejected rows.
	own int

	group   *group // is being read; nil: none
	before  string // the handle of the group before it
	next    *Row   // read ahead
	nextErr error

	apart    map[string]bool // handles of products whose rows are held until the end of the file
	held     []*group
	heldSize int
	joined   []*group // made of held groups
}

// group are adjacent rows of one product.
type group struct {
	handle, vendor string
	rows           []*Row
	size           int // bytes of rows
	// partial reports that other rows of the product were refused.
	partial bool
	beside  []string // the handles of the groups before and behind
}

// has reports whether a row with this handle and vendor continues the group.
func (g *group) has(handle, vendor string) bool {
	return g != nil && handle == g.handle && (vendor == "" || vendor == g.vendor)
}

// add adds a row. If there are too many, it returns the reason.
func (g *group) add(row *Row) string {
	switch {
	case len(g.rows) == maxRows:
		g.partial = true
		return fmt.Sprintf("its product has more than %d rows", maxRows)
	case g.size+row.size > maxProduct:
		g.partial = true
		return fmt.Sprintf("the rows of its product are longer than %d bytes", maxProduct)
	}
	g.rows, g.size = append(g.rows, row), g.size+row.size
	return ""
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
	rec.fields = rec.fields[min(r.own, len(rec.fields)):]
	for i, cell := range rec.fields {
		rec.fields[i] = Unguard(cell)
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
		case !utf8.ValidString(f), r.encoding != utf8Text && strings.ContainsRune(f, utf8.RuneError):
			return r.header[i] + " is not valid " + r.encoding
		case strings.ContainsRune(f, 0):
			return r.header[i] + " holds a NUL byte"
		}
	}
	return ""
}

func (r *Reader) get(row *Row, column string) string {
	i, ok := r.column[column]
	if !ok {
		return ""
	}
	return row.Fields[i]
}

// label returns a column's name as the file spells it.
func (r *Reader) label(column string) string {
	if i, ok := r.column[column]; ok {
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

// has reports whether the file has the column.
func (r *Reader) has(column string) bool {
	_, ok := r.column[column]
	return ok
}

// Next returns the next product and the rows that it refused since the last call. At the end of the file it returns
// io.EOF. The product is nil if all its rows were refused, and also if maxRefused rows were refused before the product
// was complete: then a later call returns the product. Products whose rows do not stand together come last.
func (r *Reader) Next() (*Product, []Rejection, error) {
	var refused []Rejection
	for len(refused) < maxRefused {
		row, bad, err := r.read()
		if bad != nil {
			refused = append(refused, *bad)
			continue
		}
		handle, vendor := "", ""
		if err == nil {
			handle, vendor = r.trimmed(row, colHandle), r.vendor(row)
		}
		if g := r.group; g != nil && (err != nil || !g.has(handle, vendor)) {
			r.next, r.nextErr, r.group = row, err, nil
			g.beside = []string{r.before, handle}
			r.before = g.handle
			if r.apart[g.handle] {
				refused = append(refused, r.hold(g)...)
				continue
			}
			p, more := r.product(g)
			return p, append(refused, more...), nil
		}
		switch {
		case err != nil && len(refused) > 0:
			r.nextErr = err
			return nil, refused, nil
		case errors.Is(err, io.EOF):
			r.nextErr = err
			return r.nextJoined()
		case err != nil:
			return nil, nil, err
		}
		if r.group == nil {
			r.group = &group{handle: handle, vendor: vendor}
		}
		if reason := r.group.add(row); reason != "" {
			refused = append(refused, Rejection{Row: *row, Reason: reason, Handle: handle})
		}
	}
	return nil, refused, nil
}
