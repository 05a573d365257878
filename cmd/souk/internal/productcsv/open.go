package productcsv

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"souk/pkg/errs"
	"souk/pkg/money"
)

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Option changes how a Reader reads.
type Option func(*Reader)

// OneShop makes a Reader take all products as those of one shop, whatever the Vendor says. The products have no
// Vendor then.
func OneShop() Option { return func(r *Reader) { r.oneShop = true } }

// NewReader reads the header and returns a Reader. Prices are in currency unless a row has a Currency.
//
// The file may be UTF-8, UTF-16 or Windows-1252, and separated by commas, semicolons, tabs or vertical bars. Its lines
// may end with a line feed, a carriage return or both. If it can seek, it is read twice: all of it decides whether it
// is Windows-1252, otherwise its beginning, and rows of a product that do not stand together are joined, otherwise they
// are products of their own.
//
// Errors: invalid (the file is not a product CSV, or the currency is unknown).
func NewReader(file io.Reader, currency string, options ...Option) (*Reader, error) {
	var apart map[string]bool
	if seeker, ok := file.(io.Seeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil { // else it is a pipe, for example
			first, err := newReader(file, currency, options...)
			if err != nil {
				return nil, err
			}
			if apart, err = findApart(first); err != nil {
				return nil, errs.Wrap(err, errs.Invalid, "the file can't be read: %v", err)
			}
			if _, err := seeker.Seek(start, io.SeekStart); err != nil {
				return nil, errs.Wrap(err, errs.Invalid, "the file can't be read: %v", err)
			}
		}
	}
	r, err := newReader(file, currency, options...)
	if err != nil {
		return nil, err
	}
	r.apart = apart
	return r, nil
}

func newReader(file io.Reader, currency string, options ...Option) (*Reader, error) {
	if _, err := money.ParseCurrency(currency); err != nil {
		return nil, err
	}
	rd := &Reader{column: map[string]int{}, currency: currency, count: &counter{r: file}}
	for _, o := range options {
		o(rd)
	}
	columns := slices.Clone(required)
	for _, name := range required {
		columns = append(columns, presentNames[name])
	}
	header, err := rd.open(file, columns)
	if err != nil {
		return nil, err
	}
	return rd, rd.readHeader(header)
}

// open returns the file's header. Its separator is the one that makes the most columns of it.
//
// Errors: invalid.
func (r *Reader) open(file io.Reader, columns []string) (header []string, err error) {
	if err := r.detect(file, columns); err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the file can't be read: %v", err)
	}
	first, err := r.records.next()
	if errors.Is(err, io.EOF) {
		return nil, errs.New(errs.Invalid, "the file is empty")
	}
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the file can't be read: %v", err)
	}
	if first.bad != "" {
		return nil, errs.New(errs.Invalid, "the header, line %d: %s", first.line, first.bad)
	}
	return first.fields, nil
}

// detect finds out how the file is written: its encoding and its separator.
func (r *Reader) detect(file io.Reader, columns []string) error {
	windows, known, err := scan(file)
	if err != nil {
		return err
	}
	in, encoding, err := decode(r.count)
	if err != nil {
		return err
	}
	if !known && encoding == utf8Text {
		start, _ := in.Peek(peeked) // an error shows when the rows are read
		for range utf8.UTFMax - 1 { // the last character may be cut
			if len(start) > 0 && start[len(start)-1] >= utf8.RuneSelf {
				start = start[:len(start)-1]
			}
		}
		if windows, err = isWindows(bytes.NewReader(start)); err != nil {
			return err
		}
	}
	if windows && encoding == utf8Text {
		in, encoding = decoded(in, charmap.Windows1252), windowsText
	}
	start, _ := in.Peek(peeked) // an error shows when the rows are read
	lineEnd := findLineEnd(start)
	separator, skip := findSeparator(start, lineEnd, columns)
	if _, err := in.Discard(skip); err != nil {
		return err
	}
	r.encoding = encoding
	r.records = &records{in: in, separator: separator, lineEnd: lineEnd, line: 1}
	if skip > 0 {
		r.records.line++
	}
	return nil
}

func (r *Reader) readHeader(fields []string) error {
	if len(fields) >= len(rejectedColumns) && slices.Equal(fields[:len(rejectedColumns)], rejectedColumns) {
		r.own = len(rejectedColumns)
	}
	r.header = fields[r.own:]
	byKey := map[string]int{}
	for i, name := range r.header {
		r.header[i] = Unguard(name)
		key := columnKey(r.header[i])
		if _, twice := byKey[key]; twice && key != "" {
			return errs.New(errs.Invalid, "the header has the column %q twice", name)
		}
		byKey[key] = i
	}
	for _, name := range written {
		i, ok := byKey[columnKey(name)]
		if present := presentNames[name]; !ok && present != "" {
			i, ok = byKey[columnKey(present)]
		}
		if ok {
			r.column[name] = i
		}
	}
	var missing []string
	for _, name := range required {
		if !r.has(name) && (name != colVendor || !r.oneShop) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return errs.New(errs.Invalid, "this is not a product CSV: its header lacks %s", strings.Join(missing, ", "))
	}
	r.findFurther()
	return nil
}

// findFurther finds the columns that a variant keeps as they are: those that the format does not have.
func (r *Reader) findFurther() {
	known := map[int]bool{}
	for _, i := range r.column {
		known[i] = true
	}
	for i, name := range r.header {
		switch key := columnKey(name); {
		case known[i]:
		case key == "":
			r.drop("a column without a name")
		case len(r.further) == maxFurther, utf8.RuneCountInString(key) > maxName:
			r.drop(strings.TrimSpace(name))
		default:
			r.further = append(r.further, i)
		}
	}
}

// drop notes that a column, or a part of it, was not kept.
func (r *Reader) drop(column string) {
	if !slices.Contains(r.dropped, column) {
		r.dropped = append(r.dropped, column)
	}
}

func columnKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// Header returns the file's header.
func (r *Reader) Header() []string { return r.header }

// Separator returns the character between the fields.
func (r *Reader) Separator() rune { return rune(r.records.separator) }

// Notes says what is unusual about the file as far as it was read, and which columns were dropped, a sentence each.
func (r *Reader) Notes() []string {
	var notes []string
	if r.encoding != utf8Text {
		notes = append(notes, "the file is not UTF-8: it was read as "+r.encoding)
	}
	if r.records.separator != ',' {
		notes = append(notes, "the fields are separated by a "+separatorNames[r.records.separator])
	}
	if len(r.dropped) > 0 {
		notes = append(notes, "not kept, or not everywhere: "+strings.Join(r.dropped, ", "))
	}
	return notes
}
