package config

import (
	"fmt"
	"slices"
	"strings"

	"souk/pkg/errs"
)

// problems gathers mistakes, so that a user can mend them all at once.
type problems struct{ fields []errs.Field }

func (p *problems) add(path, format string, args ...any) {
	p.fields = append(p.fields, errs.Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

// invalid adds what a section's Validate says, but for values that could not be read: of them it was told.
func (p *problems) invalid(section string, err error) {
	switch e := err.(type) { //nolint:errorlint // as Validate made it, not what it wraps
	case nil:
	case interface{ Unwrap() []error }: // of errors.Join
		for _, one := range e.Unwrap() {
			p.invalid(section, one)
		}
	case *errs.Error:
		if len(e.Fields) == 0 {
			p.add(section, "%s", e.Message)
		}
		for _, f := range e.Fields {
			if path := section + "." + f.Path; !p.has(path) {
				p.add(path, "%s", f.Message)
			}
		}
	default:
		if key, _, _ := strings.Cut(e.Error(), ":"); !p.has(section + "." + key) {
			p.add(section, "%v", e)
		}
	}
}

func (p *problems) has(path string) bool {
	return slices.ContainsFunc(p.fields, func(f errs.Field) bool { return f.Path == path })
}

func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	lines := make([]string, len(p.fields))
	for i, f := range p.fields {
		lines[i] = f.Path + ": " + f.Message
	}
	return &errs.Error{Code: errs.Invalid, Message: "config: " + strings.Join(lines, "; "), Fields: p.fields}
}

// suggest names the candidate that is nearest to word, if any is near.
func suggest(word string, candidates []string) string {
	best, bestDistance := "", max(2, len(word)/2)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// suggestPrefix names the section prefix that is nearest to how the variable begins.
func suggestPrefix(name string, prefixes []string) string {
	best, bestDistance := "", 3
	for _, p := range prefixes {
		for _, n := range []int{len(p) - 1, len(p), len(p) + 1} {
			if n <= len(Prefix) || n > len(name) {
				continue
			}
			if d := distance(name[:n], p); d < bestDistance {
				best, bestDistance = p+name[n:], d
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// short keeps a value out of a message when it might be long or a secret's bulk.
func short(s string) string {
	const most = 24
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
