package logging

import (
	"bytes"

	"go.uber.org/zap/zapcore"
)

const (
	maskedCard  = "[card]"
	maskedToken = "[token]"

	minCardDigits, maxCardDigits = 13, 19
)

// Mask returns s with card numbers and bearer tokens replaced. A card number is 13 to 19 digits, in
// one piece or in groups, that pass the Luhn check. A bearer token follows "Bearer " or looks like a JWT.
func Mask(s string) string {
	g := guard{}
	return string(g.mask([]byte(s)))
}

// guard masks encoded lines before they are written, so that it sees the output of every encoder, error and
// nested object.
type guard struct {
	out  zapcore.WriteSyncer
	json bool
}

// Write masks one line; zap writes a line at a time.
func (g *guard) Write(p []byte) (int, error) {
	if _, err := g.out.Write(g.mask(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync syncs the output.
func (g *guard) Sync() error { return g.out.Sync() }

// mask returns p itself if it has nothing to hide, which is nearly always.
func (g *guard) mask(p []byte) []byte {
	var out []byte
	done := 0 // p[:done] is in out
	replace := func(from, to int, with string) {
		out = append(append(out, p[done:from]...), with...)
		done = to
	}
	inString := false
	escaped := 0 // where the last escape ended: text before it does not belong to the word that follows
	for i := 0; i < len(p); {
		c := p[i]
		switch {
		case g.json && c == '\\' && i+1 < len(p):
			i += 2
			if p[i-1] == 'u' {
				i = min(i+4, len(p))
			}
			escaped = i
		case g.json && c == '"':
			inString = !inString
			i++
		case isDigit(c):
			end, ok := card(p[escaped:], i-escaped)
			end += escaped
			switch {
			case ok && g.json && !inString && c != '1':
				// An unquoted number: cards begin with 2 to 6, times in milliseconds with 1.
				replace(i, end, `"`+maskedCard+`"`)
				i = end
			case ok && (!g.json || inString):
				replace(i, end, maskedCard)
				i = end
			default:
				i = skipRun(p, i)
			}
		case c == 'B' || c == 'b':
			if from, end, ok := bearer(p, i); ok {
				replace(from, end, maskedToken)
				i = end
				break
			}
			i++
		case c == 'e':
			if end, ok := jwt(p[escaped:], i-escaped); ok {
				replace(i, escaped+end, maskedToken)
				i = escaped + end
				break
			}
			i++
		default:
			i++
		}
	}
	if out == nil {
		return p
	}
	return append(out, p[done:]...)
}

// card reports whether a card number begins at p[i], a digit, and where it ends. The digits may be in
// groups separated by one space or dash. The number may end after any group.
func card(p []byte, i int) (end int, ok bool) {
	if i > 0 && (isWord(p[i-1]) || p[i-1] == '.') {
		return 0, false
	}
	var digits [maxCardDigits]byte
	n := 0
	for j := i; ; j++ {
		if j < len(p) && isDigit(p[j]) {
			if n == maxCardDigits {
				return 0, false
			}
			digits[n] = p[j] - '0'
			n++
			continue
		}
		if n >= minCardDigits && (j == len(p) || !isWord(p[j])) && luhn(digits[:n]) {
			return j, true
		}
		if j+1 >= len(p) || (p[j] != ' ' && p[j] != '-') || !isDigit(p[j+1]) || n < 4 {
			return 0, false
		}
	}
}

func luhn(digits []byte) bool {
	sum, distinct := 0, false
	for k := range digits {
		d := int(digits[len(digits)-1-k])
		if digits[k] != digits[0] {
			distinct = true
		}
		if k%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return distinct && sum%10 == 0
}

// skipRun returns the end of the run of digits at p[i].
func skipRun(p []byte, i int) int {
	for i < len(p) && isDigit(p[i]) {
		i++
	}
	return i
}

// bearer finds "Bearer token" at p[i] and returns where the token begins and ends.
func bearer(p []byte, i int) (from, end int, ok bool) {
	const word = "bearer "
	if len(p)-i < len(word) || !bytes.EqualFold(p[i:i+len(word)], []byte(word)) {
		return 0, 0, false
	}
	from = i + len(word)
	end = token(p, from)
	return from, end, end-from >= 8
}

// jwt finds "eyJ….….…" at p[i].
func jwt(p []byte, i int) (end int, ok bool) {
	if !bytes.HasPrefix(p[i:], []byte("eyJ")) || (i > 0 && isWord(p[i-1])) {
		return 0, false
	}
	end = token(p, i)
	return end, end-i >= 20 && bytes.Count(p[i:end], []byte(".")) == 2
}

func token(p []byte, i int) int {
	for i < len(p) && (isWord(p[i]) || bytes.IndexByte([]byte("-_.~+/="), p[i]) >= 0) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}
