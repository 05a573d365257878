package middleware

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// hasCardNumber reports whether b holds text that looks like the number of a payment card: 14 to 19 digits,
// not part of a longer word, with the prefix and length of a large network (ISO/IEC 7812), that pass the Luhn
// check. Digits may be separated by a dash, by one or two blanks, or by the same dot, slash or underscore
// throughout. JSON escapes, Unicode dashes and blanks, and full-width digits count, too. The check is narrow
// on purpose: it must not refuse a barcode, a long identifier or a list of dates.
func hasCardNumber(b []byte) bool {
	b = plainText(b)
	for i := 0; i < len(b); i++ {
		if !digit(b[i]) {
			continue
		}
		if i > 0 && wordByte(b[i-1]) {
			i = endOfWord(b, i) - 1
			continue
		}
		found, end := cardAt(b, i)
		if found {
			return true
		}
		// In "qty 2 4111 1111 …" a short number hides a card behind it: skip only this group of digits.
		for i+1 < end && digit(b[i+1]) {
			i++
		}
	}
	return false
}

// cardAt reports whether a card number begins at b[i], a digit, and where the digits that it read end.
func cardAt(b []byte, i int) (found bool, end int) {
	var digits [20]byte
	var strict byte // the dot, slash or underscore between the groups; 0 for blanks, dashes or no separator yet
	n, groups := 0, 0
	for j := i; j < len(b); {
		if digit(b[j]) {
			if n == len(digits) {
				break
			}
			digits[n] = b[j] - '0'
			n++
			j++
			end = j
			continue
		}
		width, separator := gap(b[j:])
		if width == 0 {
			break
		}
		if isCard(digits[:n]) { // an expiry date may follow
			return true, end
		}
		if groups > 0 && separator != strict {
			return false, end
		}
		strict = separator
		groups++
		j += width
	}
	return (end == len(b) || !wordByte(b[end])) && isCard(digits[:n]), end
}

// gap returns the width of the separator between two groups of digits at the beginning of b, or 0 if it is
// not a known one, and the byte if it is a dot, slash or underscore.
func gap(b []byte) (width int, separator byte) {
	switch b[0] {
	case '-':
		width = 1
	case '.', '/', '_':
		width, separator = 1, b[0]
	case ' ':
		if width = 1; len(b) > 1 && b[1] == ' ' {
			width = 2
		}
	}
	if width == 0 || len(b) == width || !digit(b[width]) {
		return 0, 0
	}
	return width, separator
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordByte(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func endOfWord(b []byte, i int) int {
	for i < len(b) && wordByte(b[i]) {
		i++
	}
	return i
}

func isCard(d []byte) bool {
	if len(d) < 14 || len(d) > 19 || !issuerOf(d) {
		return false
	}
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

// issuerOf reports whether d has the prefix and length of a large card network.
func issuerOf(d []byte) bool {
	p2 := int(d[0])*10 + int(d[1])
	p3 := p2*10 + int(d[2])
	p4 := p3*10 + int(d[3])
	switch n := len(d); {
	case d[0] == 4: // Visa
		return n == 16 || n == 19
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return n == 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p4 == 6011, p2 == 65, p3 >= 644 && p3 <= 649: // Discover
		return n == 16 || n == 19
	case p4 >= 3528 && p4 <= 3589: // JCB
		return n == 16
	case p2 == 36, p2 == 38, p2 == 39, p3 >= 300 && p3 <= 305: // Diners Club
		return n == 14 || n == 16
	case p2 == 62, p2 == 81: // UnionPay
		return n >= 16
	case p2 == 50, p2 >= 56 && p2 <= 58: // Maestro
		return n == 16 || n == 19
	default:
		return false
	}
}

// plainText prepares b for hasCardNumber: it resolves JSON escapes and writes digits and separators in ASCII.
// Any other non-ASCII character becomes one byte that is part of a word, or one that is not.
func plainText(b []byte) []byte {
	first := bytes.IndexFunc(b, func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf })
	if first < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:first]...)
	for i := first; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == '\\' {
			r, size = escaped(b[i:])
		}
		out = append(out, plain(r))
		i += size
	}
	return out
}

// unicodeEscape is the length of a JSON escape such as \u0020.
const unicodeEscape = len(`\u0020`)

// escaped returns the character of the JSON escape at the beginning of b, and the escape's length.
func escaped(b []byte) (r rune, size int) {
	if len(b) < len(`\n`) {
		return '\\', 1
	}
	switch b[1] {
	case 'u':
		if len(b) >= unicodeEscape {
			if v, err := strconv.ParseUint(string(b[2:unicodeEscape]), 16, 16); err == nil {
				return rune(v), unicodeEscape
			}
		}
		return '\\', 1
	case 'n', 'r', 't', 'b', 'f':
		return '\n', len(`\n`)
	default: // the quote, the backslash, the slash
		return rune(b[1]), len(`\n`)
	}
}

// plain returns the ASCII byte by which plainText replaces r.
func plain(r rune) byte {
	const fullWidthZero, fullWidthNine = '\uff10', '\uff19'
	switch {
	case r < utf8.RuneSelf:
		return byte(r)
	case r >= fullWidthZero && r <= fullWidthNine:
		return '0' + byte(r-fullWidthZero)
	case r == '\u00a0': // no-break space
		return ' '
	case r >= '\u2010' && r <= '\u2015': // hyphens and dashes
		return '-'
	case unicode.IsLetter(r), unicode.IsDigit(r), r == utf8.RuneError:
		return 'x'
	default:
		return '\n'
	}
}
