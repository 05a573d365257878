package domain

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
)

// The bounds of a query.
const (
	maxQueryWords = 16
	maxGroups     = 24
	// joinedFactor multiplies the weight of joined neighbours ("wh1000xm3" for "wh-1000xm3"): a product that
	// writes them as one word does not have the parts.
	joinedFactor = 3
	// MaxForms is the most forms that a word has.
	MaxForms = 5
)

// Form is one spelling in which a product may have a word of a query.
type Form struct {
	Word   string
	Prefix bool
	// Factor is the part of the word's weight that this form is worth, in percent.
	Factor int64
}

// Group is one word of a query in all its forms. The best form that a product has counts.
type Group struct {
	Forms []Form
	// Essential groups are the words as they were typed. The others are neighbours joined to one word.
	Essential bool
	// Weight is what a match of the group is worth: more for rarer words.
	Weight int64
}

// Frequencies say which share of the products has a word, from 0 to 1. The zero value knows no words.
type Frequencies struct {
	// Share is the share by word.
	Share map[string]float64
	// Rest is the share of words that are not listed.
	Rest float64
	// Terms is the average number of different terms of a product; 0: unknown.
	Terms int64
	// Products is about how many products there are; 0: unknown.
	Products float64
}

// Common is the share from which a word only ranks products. See also [Frequencies.Selective].
const Common = 0.05

// Uncommon is the least weight of a word that is not common.
var Uncommon = Frequencies{Rest: Common}.Weight("") + 1

// maxSelected is about how many products the selecting words of a query may have together, unless the rarest word alone
// has more. It keeps the cost of a search the same in a catalogue of 160,000 products as in one of 16,000.
const maxSelected = 1000

// Of returns a word's share.
func (f Frequencies) Of(word string) float64 {
	if s, ok := f.Share[word]; ok {
		return s
	}
	if f.Rest > 0 {
		return f.Rest
	}
	return 0.001
}

// Weight grows with rarity: 100 for a word that every product has, about 700 for the rarest.
func (f Frequencies) Weight(word string) int64 {
	return 100 + int64(100*math.Log(1/math.Min(1, math.Max(f.Of(word), 0.001))))
}

// Selective returns the least weight of the words that select products; the others only rank them. Of the words as they
// were typed, the rarest select, up to maxSelected products. The rarest of all selects in any case, unless it is
// common.
func (f Frequencies) Selective(groups []Group) int64 {
	sorted := slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return !g.Essential })
	slices.SortStableFunc(sorted, func(a, b Group) int { return cmp.Compare(b.Weight, a.Weight) })
	var selected float64
	for i, g := range sorted {
		selected += f.Of(g.Forms[0].Word) * f.Products
		if selected > maxSelected && i > 0 {
			return max(Uncommon, min(g.Weight+1, sorted[i-1].Weight))
		}
	}
	return Uncommon
}

// ParseQuery splits a query into groups. It returns none if the query has no words.
func ParseQuery(query string, f Frequencies) []Group {
	var groups []Group
	seen := map[string]bool{}
	add := func(w word, essential bool, factor int64) {
		name := singular(w.String())
		if seen[name] || len(groups) >= maxGroups {
			return
		}
		seen[name] = true
		g := Group{Forms: forms(w), Essential: essential, Weight: f.Weight(name)}
		for i := range min(2, len(g.Forms)) {
			g.Forms[i].Factor *= factor
		}
		groups = append(groups, g)
	}
	var words, joined []word
	for _, c := range chunks(query) {
		words = append(words, c...)
		if one, ok := c.joined(); ok {
			joined = append(joined, word(one))
		}
		if len(words) >= maxQueryWords {
			words = words[:maxQueryWords]
			break
		}
	}
	for _, w := range words {
		add(w, true, 1)
	}
	for _, w := range joined {
		add(w, false, joinedFactor)
	}
	for i := 1; i < len(words); i++ {
		a, b := words[i-1].String(), words[i].String()
		if joinable(a, b) {
			add(word(a+b), false, joinedFactor)
		}
	}
	return groups
}

// forms returns the forms of a word, which is in the singular. One with an apostrophe is found by its longest part,
// too: "d'olive" by "olive". A model's name has several, because sellers add letters for colour and country to it or
// leave them out.
func forms(w word) []Form {
	word := singular(w.String())
	all := []Form{{Word: word, Factor: 100}}
	if parts := w.parts(); len(parts) > 0 {
		longest := slices.MaxFunc(parts, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
		if part := singular(longest); part != word {
			return append(all, Form{Word: part, Factor: 90})
		}
	}
	if !model(word) {
		return all
	}
	all = append(all, Form{Word: word, Prefix: true, Factor: 90})
	stem := strings.TrimRightFunc(word, unicode.IsLetter)
	if len(stem) >= 4 && stem != word {
		all = append(all, Form{Word: stem, Prefix: true, Factor: 70})
	}
	runes := []rune(word)
	for cut := 1; cut <= 2; cut++ {
		short := string(runes[:len(runes)-cut])
		if len(short) >= 5 && hasDigit(short) && short != stem {
			all = append(all, Form{Word: short, Prefix: true, Factor: int64(80 - 10*cut)})
		}
	}
	return all
}

// quoted escapes a word for the quotes of a tsquery. It is shared because making a Replacer costs more than
// using it.
var quoted = strings.NewReplacer("'", "''", `\`, `\\`)

// TSQuery returns the form in PostgreSQL's tsquery syntax. Words hold only letters, digits and signs, and are
// quoted.
func (f Form) TSQuery() string {
	q := "'" + quoted.Replace(f.Word) + "'"
	if f.Prefix {
		q += ":*"
	}
	return q
}

// Any returns a tsquery for products that have any form of the group. Forms that begin with another one are left
// out, because that one finds them.
func (g Group) Any() string {
	var queries []string
	for _, f := range g.Forms {
		if !slices.ContainsFunc(g.Forms, func(other Form) bool { return other.covers(f) }) {
			queries = append(queries, f.TSQuery())
		}
	}
	if len(queries) == 1 {
		return queries[0]
	}
	return "(" + strings.Join(queries, " | ") + ")"
}

// covers reports whether f finds all that other finds, and more.
func (f Form) covers(other Form) bool {
	return f.Prefix && strings.HasPrefix(other.Word, f.Word) && (f.Word != other.Word || !other.Prefix)
}
