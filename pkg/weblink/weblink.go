// Package weblink recognizes web addresses in text that a person typed. Programs that show mails turn such text into
// links, so a name that holds one would carry a stranger's link in a mail of ours.
//
// It reads text as people do, and refuses rather too much than too little, except where names and addresses are
// written alike: an abbreviation without a space behind it, as in "Estr.do Sol", "J.Li" or "Plot.No 4", is no web
// address.
package weblink

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

var (
	// scheme is the beginning of an address with a scheme. Those that need no slashes are listed.
	scheme = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://|` +
		`\b(?:https?|ftps?|wss?|mailto|javascript|vbscript|blob|view-source|intent|market|itms-apps|itms-services|` +
		`tg|whatsapp|viber|skype|facetime|sms|sip|callto|geo|magnet|bitcoin|file):\S|` +
		`\bdata:[a-z]+[/;,]`)
	// bracketedDot is a dot as people write it who want to hide it from programs.
	bracketedDot = regexp.MustCompile(`(?i)\s*[\[({<]\s*(?:\.|dot|ponto|punto|punkt)\s*[\])}>]\s*`)
	spacedDot    = regexp.MustCompile(`\s+\.\s*`)
	// host is labels with dots between them.
	host = regexp.MustCompile(`[\pL\pN_-]+(?:\.[\pL\pN_-]+)+`)
	ipv4 = regexp.MustCompile(`^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$`)

	// What follows a host that is more than a name: a path, a query or a port.
	path = regexp.MustCompile(`^(?:[/?#\\]|:\d)`)
	// What follows "de" in "Ma.de Lourdes", and "No" in "Plot.No 4".
	word   = regexp.MustCompile(`^\s+\pL`)
	number = regexp.MustCompile(`^[.:\s]*[\s.:]\d`)
)

var (
	dots = strings.NewReplacer("。", ".", "۔", ".", "܁", ".", "܂", ".", "ꓸ", ".")
	// lookAlikes are letters of other scripts that look like Latin ones.
	lookAlikes = strings.NewReplacer("а", "a", "с", "c", "ԁ", "d", "е", "e", "һ", "h", "і", "i", "ј", "j", "к", "k",
		"ӏ", "l", "м", "m", "о", "o", "р", "p", "ԛ", "q", "ѕ", "s", "т", "t", "ԝ", "w", "х", "x", "у", "y",
		"α", "a", "ι", "i", "κ", "k", "ν", "v", "ο", "o", "ρ", "p", "υ", "u", "γ", "y", "ɑ", "a", "ɡ", "g", "ı", "i")
)

var (
	// common are top-level domains that do not occur in a name by accident.
	common = []string{"com", "net", "org", "info", "biz", "xyz", "shop", "store", "online", "site", "app", "top"}
	// special are top-level domains that the public list lacks.
	special = []string{"example", "invalid", "onion", "test"}
	// shorteners are short hosts that lead anywhere.
	shorteners = []string{
		"bit.ly",
		"cutt.ly",
		"fb.me",
		"g.co",
		"g.page",
		"goo.gl",
		"is.gd",
		"m.me",
		"ow.ly",
		"t.co",
		"t.ly",
		"t.me",
		"v.gd",
		"wa.me",
		"x.co",
	}
	// abbreviations are those of more than two letters that a name or an address line may begin with.
	abbreviations = []string{
		// streets and places
		"alam", "apto", "avda", "bldg", "blvd", "calle", "chac", "cond", "conj", "ctra", "edif", "estr", "jard", "lgo",
		"lote", "plz", "pça", "praça", "prça", "qda", "res", "rod", "rua", "str", "trav", "tvs", "urb", "via", "vila",
		// what a number follows
		"apt", "blk", "door", "flat", "hausnr", "house", "lot", "plot", "room", "shop", "suite", "unit", "whg",
		// persons and companies
		"cap", "cel", "dipl", "dom", "dona", "dra", "eng", "frei", "gen", "ltda", "mag", "mme", "mrs", "pres", "prof",
		"profa", "rev", "sen", "sra", "srta", "sta", "ste", "sto",
	}
	// titles are top-level domains that end an abbreviation, as in "Dr.med.".
	titles = []string{"ing", "med"}
	// particles are top-level domains that a word follows, as in "Ma.de Lourdes" and "Str.am Markt".
	particles = []string{"al", "am", "de", "do", "im", "in", "la"}
	// counters are top-level domains that a number follows, as in "Plot.No 4" and "Rod.km 12".
	counters = []string{"box", "km", "lt", "no", "nr", "sl"}
)

// In reports whether text holds a web address, as people read it: in full-width letters, with the dots of other
// scripts, with letters that look like Latin ones, or with invisible characters in between.
func In(text string) bool {
	text = norm.NFKC.String(html.UnescapeString(text))
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cf, unicode.Mn): // invisible characters, and marks that hide a letter
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, text)
	text = spacedDot.ReplaceAllString(bracketedDot.ReplaceAllString(dots.Replace(text), "."), ".")
	if scheme.MatchString(text) {
		return true
	}
	return slices.ContainsFunc(host.FindAllStringIndex(text, -1), func(at []int) bool {
		return isLink(text[at[0]:at[1]], text[at[1]:])
	})
}

// Reorders reports whether r ends a line, or controls how text is shown: what people read may then differ from what
// the text says.
func Reorders(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// isLink reports whether a host name with what follows it is a web address.
func isLink(name, rest string) bool {
	labels := strings.Split(name, ".")
	for i := range labels {
		labels[i] = strings.Trim(labels[i], "_-")
	}
	first, last := labels[0], labels[len(labels)-1]
	lower := lookAlikes.Replace(strings.ToLower(strings.Join(labels, ".")))
	switch {
	case strings.HasPrefix(lower, "www."), ipv4.MatchString(name):
		return true
	case slices.ContainsFunc(strings.Split(lower, ".")[1:], isCommon):
		return first != ""
	case !isTopLevel(last):
		return false
	case path.MatchString(rest), slices.Contains(shorteners, lower):
		return true
	}
	return !isAbbreviated(labels[:len(labels)-1], last, rest)
}

func isCommon(label string) bool { return slices.Contains(common, label) }

// isTopLevel reports whether the label is a top-level domain, as it is or as it looks.
func isTopLevel(label string) bool {
	label = strings.ToLower(label)
	return slices.ContainsFunc([]string{label, lookAlikes.Replace(label)}, func(label string) bool {
		label, err := idna.ToASCII(label)
		_, known := publicsuffix.PublicSuffix("a.a." + label)
		return err == nil && (known && len(label) > 1 || slices.Contains(special, label))
	})
}

// isAbbreviated reports whether a word that is also a top-level domain follows abbreviations only, as it does in names
// and address lines.
func isAbbreviated(before []string, last, rest string) bool {
	for _, label := range before {
		if utf8.RuneCountInString(label) > 2 && !slices.Contains(abbreviations, strings.ToLower(label)) {
			return false
		}
	}
	initial, _ := utf8.DecodeRuneInString(last)
	lower := strings.ToLower(last)
	return unicode.IsUpper(initial) || // "J.Li", "Av.Rio Branco"
		initial > unicode.MaxASCII || // "г.москва"
		slices.Contains(titles, lower) ||
		slices.Contains(particles, lower) && word.MatchString(rest) ||
		slices.Contains(counters, lower) && number.MatchString(rest)
}
