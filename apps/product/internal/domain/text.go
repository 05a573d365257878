package domain

import (
	"strings"
	"unicode"
)

// folds maps letters to the plain letters that people type for them. Combining marks are dropped.
var folds = makeFolds(
	"aàáâãäåāăąǎ", "cçćĉċč", "dďđð", "eèéêëēĕėęě", "gĝğġģ", "hĥħ", "iìíîïĩīĭįı", "jĵ", "kķ", "lĺļľŀł",
	"nñńņňŉ", "oòóôõöøōŏő", "rŕŗř", "sśŝşšș", "tţťŧț", "uùúûüũūŭůűų", "wŵ", "yýÿŷ", "zźżž",
	"αά", "εέ", "ηή", "ιίϊΐ", "οό", "υύϋΰ", "ωώ", "σς", "её", "иѝ", "اأإآ",
)

func makeFolds(groups ...string) map[rune]rune {
	m := map[rune]rune{}
	for _, group := range groups {
		runes := []rune(group)
		for _, r := range runes[1:] {
			m[r] = runes[0]
		}
	}
	return m
}

// longFolds are letters that are typed as two.
var longFolds = map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th"}

// maxWord is how many characters of a word count.
const maxWord = 40

// chunk is what stands between spaces, cut into words at what is neither letter nor digit:
// "kd-49xe9005b" is one chunk of two words.
type chunk []string

// chunks cuts text into lower-case words without accents. Scripts that are written without spaces
// give a word for each character.
func chunks(text string) []chunk {
	var all []chunk
	var current chunk
	var word strings.Builder
	length := 0
	endWord := func() {
		if word.Len() > 0 {
			current = append(current, word.String())
			word.Reset()
			length = 0
		}
	}
	endChunk := func() {
		endWord()
		if len(current) > 0 {
			all = append(all, current)
			current = nil
		}
	}
	for _, r := range text {
		r = narrow(unicode.ToLower(r))
		switch {
		case unicode.IsSpace(r):
			endChunk()
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == 0x200c, r == 0x200d:
			// accents and what joins letters
		case unspaced(r):
			endChunk()
			all = append(all, chunk{string(r)})
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mc, r):
			if length >= maxWord {
				continue
			}
			length++
			if long, ok := longFolds[r]; ok {
				word.WriteString(long)
			} else if plain, ok := folds[r]; ok {
				word.WriteRune(plain)
			} else {
				word.WriteRune(r)
			}
		case unicode.IsSymbol(r) && r > 0x2000:
			// emoji and other signs are words, so that they can be found
			endChunk()
			all = append(all, chunk{string(r)})
		default:
			endWord()
		}
	}
	endChunk()
	return all
}

// narrow turns full-width forms into plain ones.
func narrow(r rune) rune {
	if r >= 0xff01 && r <= 0xff5e {
		return unicode.ToLower(r - 0xfee0)
	}
	return r
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// Words cuts text into lower-case words without accents.
func Words(text string) []string {
	var words []string
	for _, c := range chunks(text) {
		words = append(words, c...)
	}
	return words
}

// Terms returns what a text can be found by: its words, and neighbours of which one has a digit written
// together, because the same model is "WH-1000XM3", "WH 1000 XM3" and "WH1000XM3" to different sellers.
// At most limit, each once.
func Terms(text string, limit int) []string {
	seen := map[string]bool{}
	var terms []string
	add := func(term string) {
		if !seen[term] && len(terms) < limit {
			seen[term] = true
			terms = append(terms, term)
		}
	}
	previous := ""
	for _, c := range chunks(text) {
		for _, word := range c {
			add(word)
			if previous != "" && joinable(previous, word) {
				add(previous + word)
			}
			previous = word
		}
		if len(c) > 1 && len(c) <= 4 {
			add(strings.Join(c, ""))
		}
	}
	return terms
}

// joinable reports whether two neighbours may be one word to somebody else.
func joinable(a, b string) bool { return (hasDigit(a) || hasDigit(b)) && len(a)+len(b) <= 20 }

func hasDigit(word string) bool { return strings.IndexFunc(word, unicode.IsDigit) >= 0 }

func hasLetter(word string) bool { return strings.IndexFunc(word, unicode.IsLetter) >= 0 }

// model reports whether a word looks like a model's name: letters and digits.
func model(word string) bool { return len(word) >= 4 && hasDigit(word) && hasLetter(word) }
