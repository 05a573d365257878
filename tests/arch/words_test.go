package arch

import (
	"go/ast"
	"go/token"
	"regexp"
)

// unclear are words and constructions that docs/glossary.md replaces, as they show up in comments. The list is short
// on purpose: it catches a relapse, not every weak sentence.
var unclear = regexp.MustCompile(`(?i)\b(told|tells|hears?|heard|whoever|anew|patience|lingers?|lingering|gathers?|` +
	`gathered|cohorts?|under way|as it were|nobody to|there is none|are none|as good as nothing|who comes)\b`)

func wordRules() []rule {
	return []rule{
		{name: "words", why: "docs/glossary.md has a plain word for it", check: unclearWords},
		{
			name:  "waits",
			why:   "a test that waits has a timeout: select on the channel and on time.After, or use the package's helper",
			check: bareReceives,
		},
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

// bareReceives finds statements of tests that wait for a channel and nothing else: <-ch, v := <-ch, v, ok := <-ch. A
// receive in a select has alternatives, and context.Done is waited for by what ends with its context.
func bareReceives(t *tree) []finding {
	var out []finding
	for _, f := range t.goes {
		if !f.test {
			continue
		}
		inSelect := map[ast.Stmt]bool{}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CommClause:
				inSelect[n.Comm] = true
			case *ast.ExprStmt:
				if !inSelect[n] && receives(n.X) {
					out = append(
						out,
						finding{path: f.path, line: t.line(n), what: "waits for a channel without a timeout"},
					)
				}
			case *ast.AssignStmt:
				if !inSelect[n] && len(n.Rhs) == 1 && receives(n.Rhs[0]) {
					out = append(
						out,
						finding{path: f.path, line: t.line(n), what: "waits for a channel without a timeout"},
					)
				}
			}
			return true
		})
	}
	return out
}

// receives reports whether x receives from a channel that may never deliver: not a timer's, and not a context's.
func receives(x ast.Expr) bool {
	u, ok := x.(*ast.UnaryExpr)
	if !ok || u.Op != token.ARROW {
		return false
	}
	call, ok := u.X.(*ast.CallExpr)
	if !ok {
		return true
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return !ok || sel.Sel.Name != "Done" && sel.Sel.Name != "After"
}
