package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// maxLines is the most lines that a file may have.
const maxLines = 500

func codeRules() []rule {
	return []rule{
		{name: "init", why: "nothing happens by being imported", check: func(t *tree) []finding {
			var out []finding
			for _, f := range t.goes {
				if f.generated {
					continue
				}
				for _, d := range f.syntax.Decls {
					if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
						out = append(out, finding{path: f.path, line: t.line(d), what: "func init"})
					}
				}
			}
			return out
		}},
		callRule(
			"exit",
			"only main ends a process",
			map[string][]string{"os": {"Exit"}, "log": {"Fatal", "Fatalf", "Fatalln"}},
			func(f *goFile) bool {
				return !f.test && f.syntax.Name.Name != "main" &&
					f.path != "pkg/module/main.go" // module.Main is the main of every service
			},
		),
		callRule(
			"clock",
			"time comes from an injected clock",
			map[string][]string{"time": {"Now", "Since", "Until"}},
			func(f *goFile) bool {
				return !f.test && (layer(f.dir) == "domain" || layer(f.dir) == "service")
			},
		),
		callRule(
			"sleep",
			"a test waits for a signal, with a timeout",
			map[string][]string{"time": {"Sleep"}},
			func(f *goFile) bool {
				return f.test
			},
		),
		{
			name: "size",
			why:  fmt.Sprintf("a file has at most %d lines, split by use case", maxLines),
			check: func(t *tree) []finding {
				var out []finding
				for _, f := range t.goes {
					if !f.generated && f.lines > maxLines {
						out = append(out, finding{path: f.path, what: fmt.Sprintf("%d lines", f.lines)})
					}
				}
				return out
			},
		},
		{name: "comment", why: "every package says what it owns", check: packageComments},
	}
}

// callRule returns a rule that finds uses of standard library functions in the files that apply selects.
func callRule(name, why string, functions map[string][]string, applies func(*goFile) bool) rule {
	return rule{name: name, why: why, check: func(t *tree) []finding {
		var out []finding
		for _, f := range t.goes {
			if f.generated || !applies(f) {
				continue
			}
			local := localNames(f)
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if ok && slices.Contains(functions[local[x.Name]], sel.Sel.Name) {
					out = append(out,
						finding{path: f.path, line: t.line(sel), what: local[x.Name] + "." + sel.Sel.Name})
				}
				return true
			})
		}
		return out
	}}
}

// localNames maps the local names of a file's imports to their paths.
func localNames(f *goFile) map[string]string {
	out := map[string]string{}
	for i, spec := range f.syntax.Imports {
		imported := f.imports[i].path
		name := imported[strings.LastIndex(imported, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = imported
	}
	return out
}

func packageComments(t *tree) []finding {
	type state struct{ documented, code bool }
	packages := map[string]*state{}
	for _, f := range t.goes {
		s := packages[f.dir]
		if s == nil {
			s = &state{}
			packages[f.dir] = s
		}
		s.code = s.code || !f.test
		name := f.syntax.Name.Name
		if doc := f.syntax.Doc.Text(); strings.HasPrefix(doc, "Package "+name) ||
			name == "main" && strings.HasPrefix(doc, "Command ") {
			s.documented = true
		}
	}
	var out []finding
	for dir, s := range packages {
		generated := strings.HasSuffix(dir, "/sqlc")
		if s.code && !s.documented && !generated {
			out = append(out, finding{path: dir, what: "no package comment"})
		}
	}
	return out
}
