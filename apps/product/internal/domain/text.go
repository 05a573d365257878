package domain

import (
	"strings"
	"unicode"
)

// folds maps letters to the plain letters that people type for them. Combining marks are dropped.
var folds = makeFolds("aàáâãäåāăąǎ", "cçćĉċč", "dďđð", "eèéêëēĕėęě", "gĝğġģ", "hĥħ", "iìíîïĩīĭįı", "jĵ", "kķ",
	"lĺļľŀł", "nñńņňŉ", "oòóôõöøōŏő", "rŕŗř", "sśŝşšș", "tţťŧț", "uùúûüũūŭůűų", "wŵ", "yýÿŷ", "zźżž", "αά", "εέ",
	"ηή", "ιίϊΐ", "οό", "υύϋΰ", "ωώ", "σς", "её", "иѝ", "اأإآ")

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

// longFolds maps letters to the two letters that people type for them.
var longFolds = map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th"}

// maxWord is how many characters of a word are kept.
const maxWord = 40

// chunk is the text between two spaces, split into words at characters that are neither letters nor digits:
// "kd-49xe9005b" is one chunk of two words.
type chunk []string

// chunks splits text into lower-case words without accents. In scripts that are written without spaces, each
// character is a word.
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
			// drop accents, apostrophes and joiners
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
			// make emoji and other signs words, so that they can be found
			endChunk()
			all = append(all, chunk{string(r)})
		default:
			endWord()
		}
	}
	endChunk()
	return all
}

// narrow maps full-width forms to plain characters.
func narrow(r rune) rune {
	if r >= 0xff01 && r <= 0xff5e {
		return unicode.ToLower(r - 0xfee0)
	}
	return r
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer,
		unicode.Myanmar)
}

// Words splits text into lower-case words without accents.
func Words(text string) []string {
	var words []string
	for _, c := range chunks(text) {
		words = append(words, c...)
	}
	return words
}

// Terms returns the distinct terms by which a text is found, at most limit. They are its words, and neighbours
// joined to one word if one has a digit or a hyphen links them, because different sellers write the same model
// as "WH-1000XM3", "WH 1000 XM3" and "WH1000XM3".
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

// joinable reports whether another seller may write two neighbours as one word.
func joinable(a, b string) bool { return (hasDigit(a) || hasDigit(b)) && len(a)+len(b) <= 20 }

func hasDigit(word string) bool { return strings.IndexFunc(word, unicode.IsDigit) >= 0 }

func hasLetter(word string) bool { return strings.IndexFunc(word, unicode.IsLetter) >= 0 }

// model reports whether a word looks like a model's name, with letters and digits.
func model(word string) bool { return len(word) >= 4 && hasDigit(word) && hasLetter(word) }
