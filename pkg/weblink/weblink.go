// Package weblink recognizes web addresses in text that a person typed. Programs that show mails turn such text into
// links, so a name that holds one would carry a stranger's link in a mail of ours.
package weblink

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"mvdan.cc/xurls/v2"
)

// pattern matches addresses with a scheme, and host names that end in a known top-level domain, with or without a path.
var pattern = xurls.Relaxed()

// In reports whether text holds a web address, as people read it: in full-width letters, with the dots of other
// scripts, or with invisible characters in between.
func In(text string) bool {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '。' || r == '｡': // IDNA reads them as dots
			return '.'
		case unicode.In(r, unicode.Cf, unicode.Mn): // invisible characters, and marks that hide a letter
			return -1
		}
		return r
	}, norm.NFKC.String(text))
	return slices.ContainsFunc(pattern.FindAllString(text, -1), isLink)
}

// common are top-level domains that do not occur in a name by accident.
var common = []string{"com", "net", "org", "info", "biz", "xyz", "shop", "store", "online", "site", "app", "top"}

// isLink reports whether what looks like an address is one. A bare host name may also be an abbreviation without a
// space behind it, such as "Ma.de Lourdes" or "Dr.med.", if it is short.
func isLink(match string) bool {
	match = strings.ToLower(match)
	if strings.ContainsAny(match, ":/@") || strings.HasPrefix(match, "www.") {
		return true
	}
	labels := strings.Split(match, ".")
	return len(labels[0]) >= 4 || len(labels) > 2 || slices.Contains(common, labels[len(labels)-1])
}
