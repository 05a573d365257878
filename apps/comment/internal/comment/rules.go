package comment

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"souk/pkg/weblink"
)

// Reasons why a review is held.
const (
	reasonLinks    = "links"
	reasonRepeated = "repeated_text"
	reasonWords    = "words"
	reasonReports  = "reports"
	reasonRejected = "rejected"
)

// Rules are the operator's rules that hold a review until an operator has decided.
type Rules struct {
	// Links holds reviews with a web address.
	Links bool
	// RepeatedFrom is the number of characters from which a text counts as repeated if its author has used it in a
	// review of another product; 0: never.
	RepeatedFrom int
	// Reports is the number of reports that hold a review; 0: none do.
	Reports int
	// words are the words and phrases that hold a review, plain and with a space before and after them.
	words []string
}

// NewRules returns rules with words and phrases that hold a review, whatever their case.
func NewRules(links bool, repeatedFrom int, words []string, reports int) Rules {
	r := Rules{Links: links, RepeatedFrom: repeatedFrom, Reports: reports}
	for _, w := range words {
		if w = plain(w); w != "" {
			r.words = append(r.words, " "+w+" ")
		}
	}
	return r
}

// suspects returns why the words of a review are suspicious.
func (r Rules) suspects(v *Review) []string {
	var reasons []string
	text := v.Title + "\n" + v.Text
	if r.Links && weblink.In(text) {
		reasons = append(reasons, reasonLinks)
	}
	words := " " + plain(text) + " "
	if slices.ContainsFunc(r.words, func(w string) bool { return strings.Contains(words, w) }) {
		reasons = append(reasons, reasonWords)
	}
	if v.WasRejected {
		reasons = append(reasons, reasonRejected)
	}
	return reasons
}

// textKey identifies a text, whatever its case and punctuation. It is "" if the text is too short.
func (r Rules) textKey(text string) string {
	text = plain(text)
	if r.RepeatedFrom == 0 || utf8.RuneCountInString(text) < r.RepeatedFrom {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// plain returns the words of a text in lower case, with single spaces in between.
func plain(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(norm.NFKC.String(text)), func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.N)
	}), " ")
}
