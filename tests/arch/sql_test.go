package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// sqlVerb begins a statement.
var sqlVerb = regexp.MustCompile(
	`(?i)^\s*(--[^\n]*\n\s*)*(select|insert|update|delete|with|merge|alter|create|drop|truncate|call)\s`,
)

func sqlRules() []rule {
	return []rule{{
		name: "sql",
		why:  "statements are constants: values are their parameters",
		check: func(t *tree) []finding {
			constants := map[string]map[string]bool{} // by folder: what is declared at the level of the package
			for _, f := range t.goes {
				if constants[f.dir] == nil {
					constants[f.dir] = map[string]bool{}
				}
				for name := range packageLevel(f.syntax) {
					constants[f.dir][name] = true
				}
			}
			var out []finding
			for _, f := range t.goes {
				if f.generated || f.test || !servesRequests(f.dir) {
					continue
				}
				ast.Inspect(f.syntax, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.BinaryExpr:
						if parts := operands(n); len(parts) > 1 && isSQL(parts[0]) {
							for _, p := range parts {
								if !constant(p, constants[f.dir]) {
									out = append(
										out,
										finding{path: f.path, line: t.line(n), what: "a statement is put together"},
									)
									break
								}
							}
							return false
						}
					case *ast.CallExpr:
						if sel, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Sprint") &&
							len(n.Args) > 0 && isSQL(n.Args[0]) {
							out = append(out, finding{path: f.path, line: t.line(n), what: "a statement is formatted"})
						}
					}
					return true
				})
			}
			return out
		},
	}}
}

// servesRequests reports whether a folder has code of a service, and not of commands or test kits.
func servesRequests(dir string) bool {
	if strings.HasPrefix(dir, "pkg/pgtest") || strings.HasPrefix(dir, "pkg/devstack") {
		return false
	}
	return strings.HasPrefix(dir, "apps/") || strings.HasPrefix(dir, "pkg/")
}

// packageLevel returns the constants and variables that a file declares outside of functions.
func packageLevel(f *ast.File) map[string]bool {
	out := map[string]bool{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST && g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				for _, name := range v.Names {
					out[name.Name] = true
				}
			}
		}
	}
	return out
}

// operands returns what is added in an expression.
func operands(e ast.Expr) []ast.Expr {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return append(operands(e.X), operands(e.Y)...)
		}
	case *ast.ParenExpr:
		return operands(e.X)
	}
	return []ast.Expr{e}
}

// isSQL reports whether an expression is a literal that begins a statement.
func isSQL(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(lit.Value)
	return err == nil && sqlVerb.MatchString(text)
}

// constant reports whether an expression has the same value in each call.
func constant(e ast.Expr, declared map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return declared[e.Name]
	}
	return false
}
