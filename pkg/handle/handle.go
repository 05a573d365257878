// Package handle derives handles, the readable names of shops in URLs and files, such as "casa-cerrado".
//
// The result for a name must never change. The shop service and `souk import` must derive the same handle from the
// same name; otherwise an import would not find the shops that an earlier one created.
package handle

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// MaxLen is the maximum number of characters of a handle.
const MaxLen = 80

var pattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// Valid reports whether s is a handle: at most MaxLen lower-case ASCII letters, digits and, between them, dashes.
func Valid(s string) bool { return len(s) <= MaxLen && pattern.MatchString(s) }

// Of returns a handle of at most limit characters for a name. It removes accents from letters, and replaces each run
// of other characters by a dash, except at the ends. The result is empty if nothing is left, e.g. for a name in a
// non-Latin script.
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
		case unicode.Is(unicode.Mn, r): // an accent, separated from its letter by NFKD
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
