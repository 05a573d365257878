package catalogue

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"souk/cmd/souk/internal/productcsv"
	"souk/pkg/errs"
)

const (
	maxMapped  = 10_000 // categories of a mapping file
	maxUnknown = 10_000 // unknown categories that are counted
	maxNamed   = 10     // unknown categories that the summary names
)

// undecided stands in a mapping file for a category that is not mapped yet.
const undecided = "?"

var mappingHeader = []string{"Category", "Souk category"}

// categories maps the categories of a file to souk's, and counts those that souk does not have. It is safe for
// concurrent use.
type categories struct {
	path   string // of the mapping file; "": no mapping
	mapped map[string]string
	// separator is that of the mapping file, so that the spreadsheet that saved it can open it again.
	separator rune

	mu      sync.Mutex
	unknown map[string]int // products by category
	more    int            // products of categories beyond maxUnknown
}

// readCategories reads a mapping file. A file that does not exist maps nothing.
func readCategories(path string) (*categories, error) {
	c := &categories{path: path, mapped: map[string]string{}, separator: ',', unknown: map[string]int{}}
	if path == "" {
		return c, nil
	}
	file, err := os.Open(path) //nolint:gosec // the user names it
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, &FileError{fmt.Errorf("%s can't be read: %w", path, errors.Unwrap(err))}
	}
	defer func() { _ = file.Close() }() // the file is only read
	rows, separator, err := productcsv.ReadTable(file, mappingHeader, maxMapped)
	if err != nil {
		return nil, &FileError{fmt.Errorf("%s is not a mapping of categories: %s", path, errs.From(err).Message)}
	}
	c.separator = separator
	for _, row := range rows {
		c.mapped[productcsv.JoinCategory(productcsv.SplitCategory(row[0]))] = row[1]
	}
	return c, nil
}

// apply returns the category of souk for one of the file. An unmapped category is the same in souk.
func (c *categories) apply(path []string) []string {
	if to, ok := c.mapped[productcsv.JoinCategory(path)]; ok && to != undecided {
		return productcsv.SplitCategory(to)
	}
	return path
}

// addUnknown counts a product whose category souk does not have.
func (c *categories) addUnknown(path []string) {
	name := productcsv.JoinCategory(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.unknown[name]; !known && len(c.unknown) == maxUnknown {
		c.more++
		return
	}
	c.unknown[name]++
}

// note says which categories are unknown, or "" if all are known.
func (c *categories) note() string {
	if len(c.unknown) == 0 {
		return ""
	}
	products := c.more
	names := slices.SortedFunc(maps.Keys(c.unknown), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.unknown[b], c.unknown[a]), cmp.Compare(a, b))
	})
	for _, n := range c.unknown {
		products += n
	}
	text := fmt.Sprintf("souk does not have the categories of %d products, which keep theirs or have none: ", products)
	for i, name := range names[:min(len(names), maxNamed)] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%d)", name, c.unknown[name])
	}
	if len(names) > maxNamed {
		text += fmt.Sprintf(" and %d others", len(names)-maxNamed)
	}
	if c.path == "" {
		return text + "; --categories FILE.csv maps them"
	}
	return text + "; see " + c.path
}

// save adds the unknown categories to the mapping file, so that a person can map them.
func (c *categories) save() error {
	if c.path == "" || len(c.unknown) == 0 {
		return nil
	}
	for name := range c.unknown {
		if _, mapped := c.mapped[name]; !mapped && len(c.mapped) < maxMapped {
			c.mapped[name] = undecided
		}
	}
	return replaceFile(c.path, func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.Comma = c.separator
		rows := [][]string{mappingHeader}
		for _, name := range slices.Sorted(maps.Keys(c.mapped)) {
			rows = append(rows, []string{productcsv.Guard(name), productcsv.Guard(c.mapped[name])})
		}
		return out.WriteAll(rows)
	})
}
