package domain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// folds maps letters that Unicode does not decompose to the plain letters that people type for them.
var folds = makeFolds("dđð", "hħ", "iı", "lł", "oø", "tŧ", "σς")

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

// signs replaces characters whose decomposition is not what people mean by them: all apostrophes, whatever keyboard
// and script they come from, and signs that decompose into letters or into a sign.
var signs = strings.NewReplacer(
	"’",
	"'",
	"‘",
	"'",
	"‛",
	"'",
	"ʼ",
	"'",
	"ʻ",
	"'",
	"ʾ",
	"'",
	"ʿ",
	"'",
	"ʹ",
	"'",
	"ˈ",
	"'",
	"′",
	"'",
	"´",
	"'",
	"᾽",
	"'",
	"᾿",
	"'",
	"`",
	"'",
	"՚",
	"'",
	"׳",
	"'",
	"ꞌ",
	"'",
	"™",
	" ",
	"℠",
	" ",
	"№",
	" no ",
)

// plain returns text in one form of several that mean the same: composed and decomposed characters, full-width and
// half-width ones, ligatures, letters with and without accents.
func plain(text string) string {
	var letter rune
	unaccented := strings.Map(func(r rune) rune {
		if accent(letter, r) {
			return -1
		}
		letter = r
		return r
	}, norm.NFKD.String(signs.Replace(text)))
	return norm.NFC.String(unaccented)
}

// accent reports whether r is a mark on a letter that people leave out when they type.
func accent(letter, r rune) bool {
	switch {
	case !unicode.Is(unicode.Mn, r):
		return false
	case r == 0x3099, r == 0x309a: // か and が are two letters
		return false
	case r == 0x0306, r == 0x0308: // and so are и and й, but ё is typed as е
		return !unicode.Is(unicode.Cyrillic, letter) || unicode.ToLower(letter) == 'е'
	}
	return true
}

// maxWord is how many characters of a word are kept.
const maxWord = 40

// word is a word as it was written: in lower case, without accents, and with the apostrophes between its letters.
type word string

// String returns the word without apostrophes: "dolive" for "d'olive".
func (w word) String() string { return strings.ReplaceAll(string(w), "'", "") }

// parts returns what stands between the apostrophes of a word and has more than one letter: "olive" for "d'olive".
// It returns nil for a word without apostrophes.
func (w word) parts() []string {
	if !strings.Contains(string(w), "'") {
		return nil
	}
	var parts []string
	for part := range strings.SplitSeq(string(w), "'") {
		if utf8.RuneCountInString(part) > 1 {
			parts = append(parts, part)
		}
	}
	return parts
}

// chunk is the text between two spaces, split into words at characters that are neither letters, digits nor
// apostrophes: "kd-49xe9005b" is one chunk of two words.
type chunk []word

// joined returns the words of a chunk as one, if there are several and not many.
func (c chunk) joined() (string, bool) {
	if len(c) < 2 || len(c) > 4 {
		return "", false
	}
	var b strings.Builder
	for _, w := range c {
		b.WriteString(w.String())
	}
	return b.String(), true
}

// chunks splits text into lower-case words without accents. In scripts that are written without spaces, each
// character is a word.
func chunks(text string) []chunk {
	var all []chunk
	var current chunk
	var letters strings.Builder
	length := 0
	endWord := func() {
		if w := strings.Trim(letters.String(), "'"); w != "" {
			current = append(current, word(w))
		}
		letters.Reset()
		length = 0
	}
	endChunk := func() {
		endWord()
		if len(current) > 0 {
			all = append(all, current)
			current = nil
		}
	}
	for _, r := range plain(text) {
		r = unicode.ToLower(r)
		switch {
		case unicode.IsSpace(r), r == 0x200b: // a space of no width
			endChunk()
		case unicode.Is(unicode.Cf, r):
			// drop joiners, soft hyphens and marks of direction
		case unspaced(r):
			endChunk()
			all = append(all, chunk{word(r)})
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), r == '\'':
			if length >= maxWord {
				continue
			}
			length++
			if long, ok := longFolds[r]; ok {
				letters.WriteString(long)
			} else if base, ok := folds[r]; ok {
				letters.WriteRune(base)
			} else {
				letters.WriteRune(r)
			}
		case unicode.IsSymbol(r) && r > 0x2000 && r != '⁄': // which is in ½ and its like
			// make emoji and other signs words, so that they can be found
			endChunk()
			all = append(all, chunk{word(r)})
		default:
			endWord()
		}
	}
	endChunk()
	return all
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer,
		unicode.Myanmar)
}

// Words splits text into lower-case words without accents.
func Words(text string) []string {
	var words []string
	for _, c := range chunks(text) {
		for _, w := range c {
			words = append(words, w.String())
		}
	}
	return words
}

// Terms returns the terms by which a text is found, in their order, each as often as it occurs. They are its words in
// the singular, what stands before and after an apostrophe, and neighbours joined to one word if one has a digit or a
// hyphen links them, because different sellers write the same model as "WH-1000XM3", "WH 1000 XM3" and "WH1000XM3".
func Terms(text string) []string {
	var terms []string
	add := func(words ...string) {
		for _, w := range words {
			terms = append(terms, singular(w))
		}
	}
	previous := ""
	for _, c := range chunks(text) {
		for _, w := range c {
			whole := w.String()
			add(whole)
			add(w.parts()...)
			if previous != "" && joinable(previous, whole) {
				add(previous + whole)
			}
			previous = whole
		}
		if joined, ok := c.joined(); ok && (len(c) > 2 || !joinable(c[0].String(), c[1].String())) {
			add(joined)
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
