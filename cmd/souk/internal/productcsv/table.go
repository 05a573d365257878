package productcsv

import (
	"errors"
	"io"
	"slices"
	"strings"

	"souk/pkg/errs"
)

// ReadTable reads a small CSV with this header. It may be written in all ways that a product CSV may be. It returns at
// most maxRows rows, and the character between the fields.
//
// Errors: invalid.
func ReadTable(file io.Reader, header []string, maxRows int) (rows [][]string, separator rune, err error) {
	r := &Reader{count: &counter{r: file}}
	if r.header, err = r.open(file, header); err != nil {
		return nil, 0, err
	}
	names := slices.Clone(r.header)
	for len(names) > 0 && columnKey(names[len(names)-1]) == "" { // spreadsheets add empty columns
		names = names[:len(names)-1]
	}
	if !slices.EqualFunc(names, header, func(a, b string) bool { return columnKey(a) == columnKey(b) }) {
		return nil, 0, errs.New(errs.Invalid, "its header must be %q", strings.Join(header, ","))
	}
	for {
		row, bad, err := r.read()
		switch {
		case errors.Is(err, io.EOF):
			return rows, r.Separator(), nil
		case err != nil:
			return nil, 0, errs.Wrap(err, errs.Invalid, "%v", err)
		case bad != nil:
			return nil, 0, errs.New(errs.Invalid, "line %d: %s", bad.Line, bad.Reason)
		case len(rows) == maxRows:
			return nil, 0, errs.New(errs.Invalid, "it has more than %d rows", maxRows)
		}
		rows = append(rows, row.Fields[:len(header)])
	}
}
