// Package handle makes the readable names by which shops stand in URLs and files, such as "casa-cerrado".
//
// The shop service and `souk import` make the same handle of the same name, or an import would not find the
// shops that it made: what this package answers for a name must not change.
package handle

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// MaxLen is how many characters a handle has at most.
const MaxLen = 80

var pattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Valid reports whether s is a handle: lower-case ASCII letters, digits and, between them, dashes.
func Valid(s string) bool { return len(s) <= MaxLen && pattern.MatchString(s) }

// Of makes a handle of at most limit characters out of a name: accents are taken off their letters, and what is
// neither an ASCII letter nor a digit becomes one dash, or none at the ends. It is empty when nothing is left, as
// of a name in another script.
func Of(name string, limit int) string {
	var b strings.Builder
	dash := false
	for _, r := range norm.NFKD.String(name) {
		r = unicode.ToLower(r)
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent that was taken off its letter
		default:
			dash = true
		}
		if b.Len() >= limit {
			break
		}
	}
	s := b.String()
	return strings.Trim(s[:min(len(s), limit)], "-")
}
