package domain

import "strings"

// ending is an ending of words and what takes its place.
type ending struct{ from, to string }

// plurals are the endings of plurals in English, Portuguese and Spanish, without accents. The first one counts.
var plurals = []ending{
	{"ss", "ss"},                                               // glass
	{"ais", "al"}, {"eis", "el"}, {"ois", "ol"}, {"uis", "ul"}, // animais, papéis, lençóis, azuis
	{"s", ""},
}

// singulars are endings that are not the same in a singular and in what plurals leave. Both get the same ending.
var singulars = []ending{
	{"ie", "y"},              // batterie(s), battery
	{"oe", "o"}, {"ao", "o"}, // botoe(s), botão
	{"em", "en"}, {"im", "in"}, {"om", "on"}, {"um", "un"}, // homen(s), homem
	{"il", "i"},                                                           // barri(s), barril
	{"xe", "x"}, {"ze", "z"}, {"che", "ch"}, {"she", "sh"}, {"sse", "ss"}, // boxe(s), box
}

const (
	// minStem is the least length of what an ending leaves of a word.
	minStem = 2
	// minStemOfE is the least length of what is left without a final e. Shorter words are other words without it: care
	// and car.
	minStemOfE = 4
)

// singular returns the same text for the singular and the regular plurals of a word. It is not always a word of the
// language: "dresses" and "dress" become "dress", but "tables" and "table" become "tabl". Texts and queries are treated
// alike, so that they meet.
func singular(w string) string {
	if hasDigit(w) {
		return w
	}
	w = replace(replace(w, plurals), singulars)
	if stem, ok := strings.CutSuffix(w, "e"); ok && len(stem) >= minStemOfE {
		return stem
	}
	return w
}

// replace replaces the first of the endings that a word has, if enough of the word is left.
func replace(w string, endings []ending) string {
	for _, e := range endings {
		if stem, ok := strings.CutSuffix(w, e.from); ok && len(stem)+len(e.to) >= minStem {
			return stem + e.to
		}
	}
	return w
}
