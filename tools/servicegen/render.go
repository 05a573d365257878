package main

import (
	"embed"
	"fmt"
	"go/format"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

//go:embed templates/app templates/proto templates/docs
var templates embed.FS

// file is a file to write or to change, by its path in the tree.
type file struct{ path, text string }

// places maps folders of templates/ to those of the tree.
var places = map[string]string{"app": "apps/sample", "proto": "proto"}

// conditions are the constraints of templates that can't have their own: of folders, and of files other than Go.
var conditions = []struct {
	path       *regexp.Regexp
	constraint string
}{
	{regexp.MustCompile(`/internal/sample/`), "!rules"},
	{regexp.MustCompile(`/internal/(domain|service|handler|repository)/`), "rules"},
	{regexp.MustCompile(`\.sql$`), "!documents && !none"},
	{regexp.MustCompile(`/events\.proto$`), "!none"},
}

var (
	ownConstraint = regexp.MustCompile(`^//go:build (.*)\n\n`)
	nameTags      = regexp.MustCompile(`(_(rules|documents|none))+(_test)?\.go$`)
	marker        = regexp.MustCompile(`^\s*(?://|--|<!--) servicegen:(each|if|end) ?(.*?)(?: -->)?\n$`)
)

// render returns the files of the service.
func (s spec) render() ([]file, error) {
	var out []file
	err := fs.WalkDir(templates, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		folder, rest, _ := strings.Cut(strings.TrimPrefix(name, "templates/"), "/")
		if places[folder] == "" {
			return nil
		}
		raw, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		text := string(raw)
		for _, c := range conditions {
			if ok, err := s.holds(c.constraint); c.path.MatchString(name) && !ok {
				return err
			}
		}
		if m := ownConstraint.FindStringSubmatch(text); m != nil {
			if ok, err := s.holds(m[1]); !ok {
				return err
			}
			text = text[len(m[0]):]
		}
		target := nameTags.ReplaceAllString(path.Join(places[folder], rest), "$3.go")
		replacers := []*strings.Replacer{s.names()}
		if strings.Contains(path.Base(target), "gadget") {
			replacers = nil
			for _, e := range s.Entities {
				replacers = append(replacers, s.namesOf(e))
			}
		}
		for _, r := range replacers {
			f, err := s.file(target, text, r)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			out = append(out, f)
		}
		return nil
	})
	return out, err
}

func (s spec) file(target, text string, r *strings.Replacer) (file, error) {
	text, err := s.expand(text, r)
	if err == nil && path.Ext(target) == ".go" {
		var b []byte
		b, err = format.Source([]byte(text))
		text = string(b)
	}
	return file{path: r.Replace(target), text: text}, err
}

// expand replaces the names of a template and writes its marked parts as often as they are wanted.
func (s spec) expand(text string, r *strings.Replacer) (string, error) {
	var out, part strings.Builder
	times := []*strings.Replacer{r} // the part is written once for each
	for line := range strings.Lines(text) {
		m := marker.FindStringSubmatch(line)
		if m == nil {
			part.WriteString(line)
			continue
		}
		for _, r := range times {
			out.WriteString(r.Replace(part.String()))
		}
		part.Reset()
		times = nil
		switch m[1] {
		case "each":
			for _, e := range s.Entities {
				times = append(times, s.namesOf(e))
			}
		case "if":
			ok, err := s.holds(m[2])
			if err != nil {
				return "", err
			}
			if ok {
				times = append(times, r)
			}
		case "end":
			times = append(times, r)
		}
	}
	for _, r := range times {
		out.WriteString(r.Replace(part.String()))
	}
	return out.String(), nil
}

// names replaces the names of a template in what the entities share.
func (s spec) names() *strings.Replacer {
	var many []string
	for _, e := range s.Entities {
		many = append(many, e.Many)
	}
	listed := strings.Join(many, ", ")
	prose := listed
	if i := strings.LastIndex(listed, ", "); i >= 0 {
		prose = listed[:i] + " and " + listed[i+2:]
	}
	shared := []string{"gadgets, outbox", listed + ", outbox", "gadgets", prose}
	return strings.NewReplacer(append(shared, s.own()...)...)
}

// namesOf replaces the names of a template for one entity.
func (s spec) namesOf(e entity) *strings.Replacer {
	var all []string
	if strings.ContainsRune("aeio", rune(e.One[0])) {
		all = append(all, " a gadget", " an "+e.One)
	}
	all = append(all, "Gadgets", title(e.Many), "gadgets", e.Many, "Gadget", title(e.One), "gadget", e.One)
	return strings.NewReplacer(append(all, s.own()...)...)
}

func (s spec) own() []string {
	return []string{
		`sample "souk/tools/servicegen/templates/app"`, `"souk/apps/` + s.Name + `"`,
		"souk/tools/servicegen/templates/app", "souk/apps/" + s.Name,
		"souk/tools/servicegen/templates/gen", "souk/gen",
		"sample", s.Name, "Sample", title(s.Name),
	}
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
