package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Sort is the order of a list.
type Sort string

// The orders of a list.
const (
	Relevance Sort = "relevance"
	Newest    Sort = "newest"
	PriceAsc  Sort = "price_asc"
	PriceDesc Sort = "price_desc"
	ByRating  Sort = "rating"
)

// Search is a search for products.
type Search struct {
	Query      string
	CategoryID string
	Shop       string // ID or handle
	// MinPrice and MaxPrice are bounds in 1/10,000 of the currency's unit; nil: no bound.
	MinPrice, MaxPrice *int64
	Currency           string
	InStock            bool
	// MinRating is the least mean of the reviews; 0: no bound.
	MinRating int32
	// IDs are the products to choose from; empty: all.
	IDs []string
	// Options are lists of options. A variant must have one of each list.
	Options  [][]Option
	Sort     Sort
	Facets   bool
	PageSize int
	After    *Position
}

// Option is an option of a variant.
type Option struct{ Name, Value string }

// maxColons is how many colons of an option are tried as the one after its name.
const maxColons = 4

// ParseOptions parses options as a search has them, such as Size:M. Of several values of one name, a variant must have
// one. A name or a value may have colons: any may be the one between them.
//
// Errors: invalid_argument.
func ParseOptions(path string, texts []string) ([][]Option, error) {
	names, values := make([][]string, len(texts)), map[string][]Option{}
	for i, text := range texts {
		value, name := text, ""
		for range maxColons {
			part, rest, found := strings.Cut(value, ":")
			if !found {
				break
			}
			name, value = name+part, rest
			if n, v := Normal(name), Normal(value); n != "" && v != "" {
				names[i] = append(names[i], n)
				values[n] = append(values[n], Option{n, v})
			}
			name += ":"
		}
		if len(names[i]) == 0 {
			return nil, errs.InvalidField(fmt.Sprintf("%s[%d]", path, i), "must be a name and a value such as Size:M")
		}
	}
	var all [][]Option
	for _, possible := range slices.CompactFunc(names, slices.Equal) {
		var list []Option
		for _, name := range possible {
			list = append(list, values[name]...)
		}
		all = append(all, list)
	}
	return all, nil
}

// Position is where a page ends. Only the fields of its sort are set. The page token holds it.
type Position struct {
	ID    string    `json:"i,omitempty"`
	Time  time.Time `json:"t,omitzero"`
	Price int64     `json:"p,omitempty"`
	// Rating and Count place a product in the order by rating.
	Rating float64 `json:"r,omitempty"`
	Count  int32   `json:"c,omitempty"`
	// Score is the last product's. Stage, Weights, Selective and Terms are those of the search's first page, so that
	// the order stays the same on all pages even if words become more frequent.
	Score   int64   `json:"x,omitempty"`
	Stage   int     `json:"g,omitempty"`
	Weights []int64 `json:"w,omitempty"`
	// Selective is the least weight of the words that select products.
	Selective int64 `json:"s,omitempty"`
	Terms     int64 `json:"n,omitempty"`
}

// maxWeight is more than the weight of any word.
const maxWeight = 10_000

// Validate refuses a position that no search returns.
//
// Errors: invalid_argument.
func (p Position) Validate() error {
	bad := p.Time.Year() < 0 || p.Time.Year() > 9999 || p.Stage < 0 || p.Stage > 4 || len(p.Weights) > maxGroups ||
		p.Terms < 0 || p.Selective < 0 || p.Selective > maxWeight ||
		Text("pageToken", p.ID) != nil
	for _, w := range p.Weights {
		bad = bad || w < 0 || w > maxWeight
	}
	if bad {
		return errs.InvalidField("pageToken", "must be the nextPageToken of the same query, unchanged")
	}
	return nil
}

// ParseBound parses a bound of a price and returns it in 1/10,000 of the currency's unit, or nil if amount is
// empty. Without a currency the bound applies to the amount in any currency.
//
// Errors: invalid_argument.
func ParseBound(path, amount, currency string) (*int64, error) {
	if amount == "" {
		return nil, nil
	}
	if currency == "" {
		currency = "CLF" // four digits, the most of any currency
	}
	m, err := money.ParseLoose(amount, currency)
	if err != nil {
		return nil, errs.InvalidField(path, "%s", errs.From(err).Message)
	}
	if m.Minor() > MaxPrice*10_000 {
		return nil, errs.InvalidField(path, "is too large")
	}
	scaled := m.Minor() * PriceScale(m.Currency())
	if m.Minor() != 0 && scaled/m.Minor() != PriceScale(m.Currency()) {
		return nil, errs.InvalidField(path, "is too large")
	}
	return &scaled, nil
}
