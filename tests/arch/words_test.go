package arch

import (
	"regexp"
)

// unclear are words and constructions that docs/glossary.md replaces, as they show up in comments. The list is short
// on purpose: it catches a relapse, not every weak sentence.
var unclear = regexp.MustCompile(`(?i)\b(told|tells|hears?|heard|whoever|anew|patience|lingers?|lingering|gathers?|` +
	`gathered|cohorts?|under way|as it were|nobody to|there is none|are none|as good as nothing|who comes)\b`)

func wordRules() []rule {
	return []rule{
		{name: "words", why: "docs/glossary.md has a plain word for it", check: unclearWords},
	}
}

func unclearWords(t *tree) []finding {
	var out []finding
	for _, f := range t.goes {
		if f.generated || f.dir == "tests/arch" { // this package names the words
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				if word := unclear.FindString(c.Text); word != "" {
					out = append(out, finding{path: f.path, line: t.line(c), what: "a comment has " + word})
				}
			}
		}
	}
	return out
}
