package config

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	"souk/pkg/errs"
)

// problems collects mistakes, so that a user can fix them all at once.
type problems struct{ fields []errs.Field }

func (p *problems) add(path, format string, args ...any) {
	p.fields = append(p.fields, errs.Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

// invalid adds the error of a section's Validate. It skips values that could not be read, since they are
// reported already.
func (p *problems) invalid(section string, err error) {
	switch e := err.(type) { //nolint:errorlint // only Validate's own error counts, not what it wraps
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
	if len(p.fields) == 1 {
		f := p.fields[0]
		return &errs.Error{Code: errs.Invalid, Message: "config: " + f.Path + ": " + f.Message, Fields: p.fields}
	}
	var message strings.Builder
	fmt.Fprintf(&message, "config: %d mistakes", len(p.fields))
	for _, f := range p.fields {
		message.WriteString("\n  " + f.Path + ": " + f.Message)
	}
	return &errs.Error{Code: errs.Invalid, Message: message.String(), Fields: p.fields}
}

// Join returns one error with the mistakes of several errors of this package, or nil. An error that names no mistake,
// such as that of a file that cannot be read, is returned as it is.
func Join(all ...error) error {
	var p problems
	for _, err := range all {
		if err == nil {
			continue
		}
		e := errs.From(err)
		if len(e.Fields) == 0 {
			return err
		}
		p.fields = append(p.fields, e.Fields...)
	}
	return p.err()
}

// CheckListenAddr returns an error unless a listener can have the address addr, whose host may be empty.
func CheckListenAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("must be host:port such as 127.0.0.1:8080, not %q", addr)
	}
	return nil
}

// suggest names the candidate that is nearest to word, if one is near enough.
func suggest(word string, candidates []string) string {
	best := nearest(word, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// suggestVariable names the variable that is nearest to name. All begin with prefix, which the comparison
// leaves out.
func suggestVariable(name, prefix string, variables []string) string {
	var endings []string
	for _, v := range variables {
		endings = append(endings, strings.TrimPrefix(v, prefix))
	}
	best := nearest(strings.TrimPrefix(name, prefix), endings)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", prefix+best)
}

// suggestSection names the variables of the section whose prefix is nearest to the beginning of name. It does
// not know whether the section has a variable with the ending of name.
func suggestSection(name string, sections []string) string {
	var prefixes []string
	for _, s := range sections {
		prefixes = append(prefixes, envName(s)[len(Prefix):])
	}
	for i := len(name); i > len(Prefix); i = strings.LastIndexByte(name[:i], '_') {
		if best := nearest(name[len(Prefix):i], prefixes); best != "" {
			return fmt.Sprintf("; did you mean %q?", Prefix+best+"_…")
		}
	}
	return ""
}

// nearest returns the candidate that differs from word in the fewest letters, or "" if every candidate
// differs in more than a third of them (at least one letter may always differ).
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance returns how many letters of a must be changed, added, removed or swapped with the next one to get b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// not says which value a message is about, unless the setting is a secret.
func not(t reflect.Type, value string) string {
	if holdsSecrets(t) {
		return ""
	}
	return fmt.Sprintf(", not %q", short(value))
}

// short truncates a value for a message.
func short(s string) string {
	const most = 24
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
