package domain

import (
	"cmp"
	"strings"
)

// ending is an ending of words and what takes its place, if at least least bytes of the word are before it.
type ending struct {
	from, to string
	least    int
}

// plurals are the endings of plurals in English, Portuguese and Spanish, without accents. The first one counts.
var plurals = []ending{
	{"ss", "ss", 0},                                                        // glass
	{"ais", "al", 0}, {"eis", "el", 0}, {"ois", "ol", 0}, {"uis", "ul", 0}, // animais, papéis, lençóis, azuis
	{"s", "", minStem},
}

// singulars are endings that are not the same in a singular and in what plurals leave. Both get the same ending.
var singulars = []ending{
	{"ie", "i", 3}, {"y", "i", 3}, // batterie(s), battery; rubie(s), rubí
	{"ie", "y", 1},                                 // skie(s), sky; but not ski
	{"oe", "o", 1}, {"ae", "o", 1}, {"ao", "o", 1}, // botoe(s), botão; pae(s), pão
	{"em", "en", 0}, {"im", "in", 0}, {"om", "on", 0}, {"um", "un", 0}, // homen(s), homem
	{"il", "i", 1},                                                                       // barri(s), barril
	{"xe", "x", 1}, {"ze", "z", 1}, {"che", "ch", 0}, {"she", "sh", 0}, {"sse", "ss", 0}, // boxe(s), box
	// lapice(s), lápiz. Short words are others with z: price and prize.
	{"ace", "az", 3}, {"ece", "ez", 3}, {"ice", "iz", 3}, {"oce", "oz", 3}, {"uce", "uz", 3},
	// viruse(s), viru(s). Short words are others without the end: nose and no.
	{"ase", "a", 3}, {"ese", "e", 3}, {"ise", "i", 3}, {"ose", "o", 3}, {"use", "u", 3},
}

const (
	// minStem is the least length of what is left of a word without a final s.
	minStem = 2
	// minStemOfE is the least length of what is left without a final e. Shorter words are other words without it: care
	// and car.
	minStemOfE = 4
)

// irregular are the singulars of plurals that have no regular ending, and of short ones, by the plural.
var irregular = bySecond(
	// English
	"man men", "woman women", "child children", "foot feet", "tooth teeth", "goose geese", "mouse mice",
	"knife knives", "shelf shelves", "leaf leaves", "half halves", "loaf loaves", "scarf scarves", "wolf wolves",
	"calf calves", "elf elves", "hoof hooves", "thief thieves", "wife wives", "sheaf sheaves",
	"bus buses", "gas gases", "lens lenses", "iris irises", "quiz quizzes",
	// Portuguese
	"facil faceis", "dificil dificeis", "util uteis", "inutil inuteis", "portatil portateis", "reptil repteis",
	"fossil fosseis", "textil texteis", "projetil projeteis", "missil misseis", "volatil volateis",
	"versatil versateis", "retratil retrateis", "fragil frageis", "agil ageis", "docil doceis", "habil habeis",
	"esteril estereis", "fertil ferteis", "mes meses", "mae maes",
	// Spanish
	"luz luces", "pez peces", "cruz cruces", "voz voces", "vez veces", "nuez nueces", "raiz raices", "juez jueces",
	"pais paises",
)

// unchanged are singulars that an ending would change into another word.
var unchanged = map[string]bool{
	"bus": true, "gas": true, "lens": true, "iris": true, "mes": true, "mae": true, "pais": true,
}

// bySecond returns the first word of each pair by its second.
func bySecond(pairs ...string) map[string]string {
	words := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		first, second, _ := strings.Cut(pair, " ")
		words[second] = first
	}
	return words
}

// singular returns the same text for the singular and the plurals of a word. It is not always a word of the language:
// "dresses" and "dress" become "dress", but "tables" and "table" become "tabl". Texts and queries are treated alike, so
// that they meet.
func singular(w string) string {
	if hasDigit(w) {
		return w
	}
	w = cmp.Or(irregular[w], w)
	if unchanged[w] {
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
		if stem, ok := strings.CutSuffix(w, e.from); ok && len(stem) >= e.least {
			return stem + e.to
		}
	}
	return w
}
