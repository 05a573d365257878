// Package card recognizes numbers of payment cards in text that a person typed.
//
// It is meant for the fields in which somebody might type a card by mistake: a payment token, a name, an address, a
// note. Such fields carry souk.options.v1.no_card in the contract, and package rpc refuses the request. It is not meant
// for fields that identify something: one in ten of all numbers passes the Luhn check, also tracking numbers,
// barcodes and keys.
package card

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	minDigits, maxDigits = 12, 19
	// maxPhone is how many digits after a plus sign may be a telephone number rather than a card.
	maxPhone = 13
)

// other matches what is never a card although some consist of enough digits: UUIDs and hexadecimal tokens, as payment
// providers make them, and the number of a Brazilian company (CNPJ).
var other = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|` +
	`\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b|` +
	`\b\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}\b`)

// run matches groups of digits with up to three characters between each other, in a text as simplify returns it.
var run = regexp.MustCompile(`\+?\d+(?:[ +]{1,3}\d+)*`)

// Contains reports whether text holds the number of a payment card: 12 to 19 digits with the prefix and length of a
// card network (ISO/IEC 7812) that pass the Luhn check. The digits may be of any script, and in any groups. Up to three
// characters that are not letters may stand between two groups; characters without a width do not count. Letters may
// touch the number ("card4111…exp12"), but not divide it.
//
// A UUID, a hexadecimal token of 32, 40 or 64 characters and a plus sign with up to 13 digits are not cards.
func Contains(text string) bool {
	if !enoughDigits(text) {
		return false
	}
	for _, digits := range run.FindAllString(simplify(other.ReplaceAllString(text, "x")), -1) {
		if hasCard(digits) {
			return true
		}
	}
	return false
}

// enoughDigits is a cheap test that nearly every text fails.
func enoughDigits(text string) bool {
	n := 0
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			n++
		case r > unicode.MaxASCII && unicode.IsNumber(r):
			n += 2 // such as U+2469, a 10 in a circle
		}
	}
	return n >= minDigits
}

// simplify returns text with ASCII digits, an x for each letter, and a plus sign or a space for each other character.
// Characters without a width are dropped. Compatibility forms such as full-width digits are what they stand for. Those
// without digits and letters are one character, such as the ellipsis.
func simplify(text string) string {
	simple := make([]byte, 0, len(text))
	for _, r := range text {
		start, form := len(simple), string(r)
		if r > unicode.MaxASCII {
			form = norm.NFKC.String(form)
		}
		for _, c := range form {
			switch digit := digitOf(c); {
			case digit >= 0:
				simple = append(simple, '0'+byte(digit))
			case unicode.IsLetter(c):
				simple = append(simple, 'x')
			case c == '+':
				simple = append(simple, '+')
			case !invisible(c):
				simple = append(simple, ' ')
			}
		}
		if part := simple[start:]; len(part) > 1 { // the brackets of a digit, the dots of an ellipsis
			trimmed := bytes.TrimSpace(part)
			if len(trimmed) == 0 {
				trimmed = []byte{' '}
			}
			simple = append(simple[:start], trimmed...)
		}
	}
	return string(simple)
}

// hasCard reports whether some of the groups of digits together are the number of a card.
func hasCard(text string) bool {
	groups := strings.Fields(strings.ReplaceAll(text, "+", " +"))
	for i, first := range groups {
		number := ""
		for _, next := range groups[i:] {
			number += strings.TrimPrefix(next, "+")
			if len(number) > maxDigits {
				break
			}
			phone := first[0] == '+' && len(number) <= maxPhone
			if len(number) >= minDigits && !phone && ofNetwork(number) && luhn(number) {
				return true
			}
		}
	}
	return false
}

// maestro are the prefixes of cards that may have 12 digits. Any of Maestro's prefixes would be too many: a house's
// number and a postal code have 12 digits, too.
var maestro = []int{5018, 5020, 5038, 5893, 6304, 6390, 6759, 6761, 6762, 6763}

// ofNetwork reports whether the digits have the prefix and length of a card network.
func ofNetwork(d string) bool {
	const p4Digits = 4
	n := len(d)
	p4, _ := strconv.Atoi(d[:p4Digits]) // only digits
	p2, p3 := p4/100, p4/10
	switch {
	case d[0] == '4': // Visa
		return n == 13 || n == 16 || n >= 18
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return n == 16
	case p4 >= 2200 && p4 <= 2205: // Mir, Borica
		return n >= 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p3 >= 300 && p3 <= 305, p3 == 309, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return n == 14 || n >= 16
	case p4 >= 3528 && p4 <= 3589: // JCB
		return n >= 16
	case p2 == 50, p2 >= 56 && p2 <= 59, p2 == 63, p2 == 67: // Maestro; some of them Elo, RuPay, Hipercard
		return n >= 13 || slices.Contains(maestro, p4)
	case p2 == 62, p2 == 81: // UnionPay
		return n >= 14
	case d[0] == '6', p2 == 82: // Discover, Elo, Hipercard, RuPay
		return n >= 16
	default:
		return p4 == 9792 && n == 16 // Troy
	}
}

func luhn(d string) bool {
	sum := 0
	for i := range d {
		v := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
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
