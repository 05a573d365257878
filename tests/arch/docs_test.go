package arch

import (
	"go/ast"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func docRules() []rule {
	return []rule{
		{
			name:  "settings",
			why:   "docs/configuration.md names every setting, and none that is not there",
			check: documentedSettings,
		},
		{
			name:  "metrics",
			why:   "docs/metrics.md names every metric, and none that is not there",
			check: documentedMetrics,
		},
		{name: "links", why: "what a document points at is there", check: brokenLinks},
		{
			name:  "paths",
			why:   "a path in a document leads to a file or folder; a name that readers choose is written {name}",
			check: missingPaths,
		},
	}
}

const settingsPage = "docs/configuration.md"

// sectionTypes maps the sections that all processes share to their structs' folders and names. A service's section is
// Config in its config.go.
var sectionTypes = map[string][2]string{
	"log":       {"pkg/logging", "Config"},
	"telemetry": {"pkg/telemetry", "Config"},
	"postgres":  {"pkg/module", "PostgresConfig"},
	"documents": {"pkg/module", "DocumentsConfig"},
	"redis":     {"pkg/redisx", "Config"},
	"nats":      {"pkg/module", "NATSConfig"},
	"identity":  {"pkg/module", "IdentityConfig"},
	"admin":     {"pkg/module", "AdminConfig"},
	"rpc":       {"pkg/module", "RPCConfig"},
	"vault":     {"pkg/secrets", "VaultConfig"},
}

var documentedSetting = regexp.MustCompile("^\\|\\s*`([a-z0-9_]+(?:\\.[a-z0-9_]+)+)`")

// documentedSettings compares the yaml keys of all Config structs with the tables of the settings page.
func documentedSettings(t *tree) []finding {
	there := map[string]finding{}
	for section, at := range sectionTypes {
		t.settings(there, at[0], at[1], section)
	}
	for _, f := range t.goes {
		if path.Dir(f.dir) == "apps" && path.Base(f.path) == "config.go" {
			t.settings(there, f.dir, "Config", service(f.path))
		}
	}
	text, err := t.text(settingsPage)
	if err != nil {
		return []finding{{path: settingsPage, what: err.Error()}}
	}
	var out []finding
	said := map[string]bool{}
	for n, line := range strings.Split(text, "\n") {
		m := documentedSetting.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		said[m[1]] = true
		if _, ok := there[m[1]]; !ok {
			out = append(out, finding{path: settingsPage, line: n + 1, what: "there is no setting " + m[1]})
		}
	}
	for key, at := range there {
		if !said[key] {
			at.what = key + " is not in " + settingsPage
			out = append(out, at)
		}
	}
	return out
}

// settings adds the keys of a struct and of its nested structs, by their full path.
func (t *tree) settings(into map[string]finding, dir, name, prefix string) {
	for _, f := range t.goes {
		if f.dir != dir || f.test {
			continue
		}
		for _, d := range f.syntax.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok || ts.Name.Name != name {
					continue
				}
				if st, ok := ts.Type.(*ast.StructType); ok {
					t.fields(into, f, st, prefix)
				}
			}
		}
	}
}

func (t *tree) fields(into map[string]finding, f *goFile, st *ast.StructType, prefix string) {
	for _, field := range st.Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			continue
		}
		key, option, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
		full := prefix + "." + key
		switch {
		case key == "" && option == "inline":
			full = prefix
		case key == "" || key == "-":
			continue
		}
		before := len(into)
		if inner, ok := field.Type.(*ast.Ident); ok && ast.IsExported(inner.Name) {
			t.settings(into, f.dir, inner.Name, full)
		}
		if inner, ok := field.Type.(*ast.SelectorExpr); ok &&
			inner.Sel.Name == "Config" { // of a package in pkg/, or of a part of the service
			if name, ok := inner.X.(*ast.Ident); ok {
				t.settings(into, "pkg/"+name.Name, "Config", full)
				t.settings(into, f.dir+"/internal/"+name.Name, "Config", full)
			}
		}
		if len(into) > before {
			continue // the nested keys replace the struct's key
		}
		into[full] = finding{path: f.path, line: t.line(field)}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// brokenLinks finds links in Markdown files to missing files.
func brokenLinks(t *tree) []finding {
	var out []finding
	for _, p := range t.files {
		if path.Ext(p) != ".md" {
			continue
		}
		text, err := t.text(p)
		if err != nil {
			out = append(out, finding{path: p, what: err.Error()})
			continue
		}
		for n, line := range strings.Split(text, "\n") {
			for _, m := range markdownLink.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				full := path.Join(path.Dir(p), target)
				isDir := slices.ContainsFunc(t.files, func(f string) bool { return within(f, full) })
				if !isDir && !within(full, "gen") {
					out = append(out, finding{path: p, line: n + 1, what: target + " is not there"})
				}
			}
		}
	}
	return out
}

var (
	inlineCode = regexp.MustCompile("`([^`]+)`")
	// treePath is a path that begins with a folder at the repository's root. Characters that only occur in
	// placeholders, as in apps/{service}, are a part of it.
	treePath = regexp.MustCompile(`(?:^|[\s(])((?:apps|cmd|docs|gen|pkg|proto|tests|tools)/[^\s,;:()]+)`)
	// placeholder is a path, or a name in it, that stands for several: {service}, *, X.
	placeholder = regexp.MustCompile(`[{}*<>…]|/[A-Z](/|$)`)
	// symbol follows the path of a package: .Run.
	symbol = regexp.MustCompile(`\.[A-Z]\w*$`)
)

// missingPaths finds paths to missing files: in inline code of README.md, CONTRIBUTING.md and docs, and in the comments
// of doc.go files. The tools' doc.go files may be templates.
func missingPaths(t *tree) []finding {
	var out []finding
	check := func(file string, line int, text string) {
		for _, m := range treePath.FindAllStringSubmatch(text, -1) {
			p := strings.TrimRight(m[1], "./")
			if placeholder.MatchString(p) || t.exists(p) || t.exists(symbol.ReplaceAllString(p, "")) {
				continue
			}
			out = append(out, finding{path: file, line: line, what: p + " is not there"})
		}
	}
	for _, p := range t.files {
		if p != "README.md" && p != "CONTRIBUTING.md" && !(within(p, "docs") && path.Ext(p) == ".md") {
			continue
		}
		text, err := t.text(p)
		if err != nil {
			out = append(out, finding{path: p, what: err.Error()})
			continue
		}
		for n, line := range strings.Split(text, "\n") {
			for _, m := range inlineCode.FindAllStringSubmatch(line, -1) {
				check(p, n+1, m[1])
			}
		}
	}
	for _, f := range t.goes {
		if path.Base(f.path) != "doc.go" || within(f.dir, "tools") {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				check(f.path, t.line(c), c.Text)
			}
		}
	}
	return out
}

func (t *tree) exists(p string) bool {
	_, err := fs.Stat(t.fsys, p)
	return err == nil
}
