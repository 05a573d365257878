package repository

import (
	"html"
	"maps"
	"slices"
	"strconv"
	"strings"

	"souk/apps/product/internal/domain"
)

const (
	// titleTerms and allTerms are the most terms of a title and of all fields, and maxPlaces is the most occurrences of
	// a term, so that ranking reads rows of bounded size. More occurrences hardly change a rank.
	titleTerms, allTerms, maxPlaces = 120, 520, 8
)

// vector is a product's terms, with the places where they occur.
type vector struct {
	places map[string][]string
	next   int
}

// add adds the terms of a field, unless there are too many terms then. Sellers' files have entities of HTML in all
// fields.
func (v *vector) add(weight string, most int, text string) {
	for _, term := range domain.Terms(html.UnescapeString(text)) {
		places, known := v.places[term]
		if !known && len(v.places) >= most || len(places) >= maxPlaces {
			continue
		}
		v.next++
		v.places[term] = append(places, strconv.Itoa(v.next)+weight)
	}
}

// String returns the vector as PostgreSQL's tsvector.
func (v *vector) String() string {
	var b strings.Builder
	for _, term := range slices.Sorted(maps.Keys(v.places)) {
		b.WriteString(domain.Form{Word: term}.TSQuery() + ":" + strings.Join(v.places[term], ",") + " ")
	}
	return b.String()
}
