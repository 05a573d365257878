// Package card recognizes numbers of payment cards in text that a person typed.
//
// It is meant for the fields in which somebody might type a card by mistake: a payment token, a name, an address, a
// note. Such fields carry souk.options.v1.no_card in the contract, and package rpc refuses the request. It is not meant
// for fields that identify something: one in ten of all numbers passes the Luhn check, also tracking numbers,
// barcodes and keys.
package card

import (
	"regexp"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	minDigits, maxDigits = 14, 19
	// maxGap is how many characters may separate two groups of digits.
	maxGap = 3
)

// uuid matches a UUID. Some payment providers' tokens are UUIDs, and a few of them consist of enough digits.
var uuid = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// Contains reports whether text holds the number of a payment card: 14 to 19 digits with the prefix and length of a
// card network (ISO/IEC 7812) that pass the Luhn check. The digits may be of any script, and in any groups. Up to three
// characters that are not letters may stand between two groups; characters without a width do not count.
//
// The number may touch a word ("card4111…"). It is not a card if that word has further digits, as in a hexadecimal
// token.
func Contains(text string) bool {
	if !enoughDigits(text) {
		return false
	}
	var groups [][]byte // digits with no more than a gap between each other
	gap := 0
	for _, w := range words(uuid.ReplaceAllString(text, "x")) {
		switch {
		case w.separator:
			if gap++; gap > maxGap {
				groups = nil
			}
			continue
		case w.digits == nil || w.lettersBefore:
			groups = nil
		}
		gap = 0
		if w.digits != nil {
			groups = append(groups, w.digits)
			if endsWithCard(groups) {
				return true
			}
		}
		if w.lettersAfter {
			groups = nil
		}
	}
	return false
}

// enoughDigits is a cheap test that nearly every text fails.
func enoughDigits(text string) bool {
	n := 0
	for _, r := range text {
		if r >= '0' && r <= '9' || r >= unicode.MaxASCII && unicode.IsNumber(r) {
			n++
		}
	}
	return n >= minDigits
}

// endsWithCard reports whether the last groups together are the number of a card.
func endsWithCard(groups [][]byte) bool {
	var number []byte
	for i := len(groups) - 1; i >= 0 && len(number)+len(groups[i]) <= maxDigits; i-- {
		number = append(append([]byte{}, groups[i]...), number...)
		if len(number) >= minDigits && ofNetwork(number) && luhn(number) {
			return true
		}
	}
	return false
}

// ofNetwork reports whether the digits have the prefix and length of a card network. Visa's cards of 13 digits are left
// out: they are no longer issued, and telephone numbers look like them.
func ofNetwork(d []byte) bool {
	n := len(d)
	p2 := int(d[0])*10 + int(d[1])
	p3 := p2*10 + int(d[2])
	p4 := p3*10 + int(d[3])
	switch {
	case d[0] == 4: // Visa
		return n == 16 || n >= 18
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720, p4 >= 2200 && p4 <= 2204: // Mastercard, Mir
		return n == 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p3 >= 300 && p3 <= 305, p3 == 309, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return n == 14 || n >= 16
	case p4 >= 3528 && p4 <= 3589: // JCB
		return n >= 16
	case p2 == 50, p2 >= 56 && p2 <= 58: // Maestro, Elo, RuPay
		return n >= 16
	case d[0] == 6, p2 == 81, p2 == 82: // Discover, Maestro, UnionPay, Elo, Hipercard, RuPay
		return n >= 16
	default:
		return p4 == 9792 && n == 16 // Troy
	}
}

func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		v := int(d[len(d)-1-i])
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// word is a run of letters and digits, or one separator.
type word struct {
	separator bool
	// digits are the word's digits if they stand together, else nil.
	digits                      []byte
	lettersBefore, lettersAfter bool
}

// words splits text. Compatibility forms such as full-width digits count as what they stand for. Characters without a
// width are dropped.
func words(text string) []word {
	var all []word
	var current *word
	scattered := false // digits, letters, digits
	for _, r := range norm.NFKC.String(text) {
		digit := digitOf(r)
		switch {
		case invisible(r):
			continue
		case digit < 0 && !unicode.IsLetter(r):
			all = append(all, word{separator: true})
			current = nil
			continue
		case current == nil:
			all = append(all, word{})
			current, scattered = &all[len(all)-1], false
		}
		switch {
		case digit >= 0 && current.lettersAfter:
			current.digits, scattered = nil, true
		case digit >= 0 && !scattered:
			current.digits = append(current.digits, byte(digit))
		case digit < 0 && current.digits == nil:
			current.lettersBefore = true
		case digit < 0:
			current.lettersAfter = true
		}
	}
	return all
}

// digitOf returns the value of a decimal digit of any script, or -1.
func digitOf(r rune) int {
	if r < unicode.MaxLatin1 {
		if r >= '0' && r <= '9' {
			return int(r - '0')
		}
		return -1
	}
	const base = 10 // each script's digits stand together, from 0 to 9
	for _, s := range unicode.Nd.R16 {
		if r >= rune(s.Lo) && r <= rune(s.Hi) {
			return int(r-rune(s.Lo)) % base
		}
	}
	for _, s := range unicode.Nd.R32 {
		if r >= rune(s.Lo) && r <= rune(s.Hi) {
			return int(r-rune(s.Lo)) % base
		}
	}
	return -1
}

// invisible reports whether r has no width: format characters, marks, and the fillers of Hangul.
func invisible(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0':
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.M)
}
