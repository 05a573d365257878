package catalogue

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"souk/cmd/souk/internal/productcsv"
)

// rejectsHeld bounds the rejected rows in memory. Only a few hundred products are in flight at a time, so rows that
// are this far apart arrive in order.
const rejectsHeld = 20_000

// rejectedPath returns the path of the file for rejected rows: m.rejected.csv for m.csv.
func rejectedPath(path string) string {
	if ext := filepath.Ext(path); strings.EqualFold(ext, ".csv") {
		path = strings.TrimSuffix(path, ext)
	}
	return path + ".rejected.csv"
}

// rejectFile writes FILE.rejected.csv. It creates the file with the first rejected row. Without rejected rows, close
// removes the file of an earlier run. Rows are sorted by line: when more than rejectsHeld are held, the first half is
// written.
type rejectFile struct {
	path   string
	header []string
	// separator is that of the imported file: prices with a decimal comma need it when the file is imported again.
	separator rune
	held      []productcsv.Rejection
	file      *os.File
	csv       *csv.Writer
}

func (f *rejectFile) write(rows []productcsv.Rejection) error {
	if len(rows) == 0 {
		return nil
	}
	if f.file == nil { // create it at once: an error shows before much is imported
		file, err := os.Create(f.path)
		if err != nil {
			return fmt.Errorf("rejected rows can't be written: %w", err)
		}
		f.file, f.csv = file, csv.NewWriter(file)
		f.csv.Comma = f.separator
		if err := f.record("Line", "Reason", f.header); err != nil {
			return err
		}
	}
	f.held = append(f.held, rows...)
	if len(f.held) <= rejectsHeld {
		return nil
	}
	return f.flush(len(f.held) / 2)
}

// flush writes the first n of the held rows.
func (f *rejectFile) flush(n int) error {
	slices.SortStableFunc(f.held, func(a, b productcsv.Rejection) int { return cmp.Compare(a.Line, b.Line) })
	for _, r := range f.held[:n] {
		if err := f.record(strconv.Itoa(r.Line), r.Reason, r.Fields); err != nil {
			return err
		}
	}
	f.held = slices.Delete(f.held, 0, n)
	return nil
}

func (f *rejectFile) record(line, reason string, fields []string) error {
	record := []string{line, reason}
	for _, cell := range fields {
		record = append(record, productcsv.Guard(cell))
	}
	return f.csv.Write(record)
}

func (f *rejectFile) close() error {
	if f.file == nil {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the rejected rows of an earlier run can't be removed: %w", err)
		}
		return nil
	}
	err := f.flush(len(f.held))
	f.csv.Flush()
	return errors.Join(err, f.csv.Error(), f.file.Close())
}
