package arch

import (
	"go/ast"
	"go/token"
)

func waitRules() []rule {
	return []rule{{
		name:  "waits",
		why:   "a test that waits has a timeout: use waittest.Receive, or a select with a second case",
		check: bareReceives,
	}}
}

// bareReceives finds places in tests that wait for a channel and nothing else: a receive outside of a select, a select
// with one case, and a range over a channel. A timer's channel is its own timeout, and ctx.Done() is waited for by what
// ends with its context. The rule reads no types: it knows the channels that a function makes, declares or takes.
func bareReceives(t *tree) []finding {
	var out []finding
	for _, f := range t.goes {
		if !f.test && !(within(f.dir, "pkg") && testKit(f.dir)) {
			continue
		}
		for _, d := range f.syntax.Decls {
			for _, n := range waitsOf(d) {
				out = append(out, finding{path: f.path, line: t.line(n), what: "waits for a channel without a timeout"})
			}
		}
	}
	return out
}

func waitsOf(d ast.Decl) []ast.Node {
	var out []ast.Node
	chans, answered := channels(d), map[ast.Expr]bool{}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectStmt:
			if len(n.Body.List) < 2 {
				break
			}
			for _, c := range n.Body.List {
				answered[received(c.(*ast.CommClause).Comm)] = true
			}
		case *ast.UnaryExpr:
			if !answered[n] && mayBlock(n) {
				out = append(out, n)
			}
		case *ast.RangeStmt:
			if x, ok := n.X.(*ast.Ident); ok && chans[x.Name] {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

// received returns the expression that a case of a select receives with; nil for a send or default.
func received(s ast.Stmt) ast.Expr {
	switch s := s.(type) {
	case *ast.ExprStmt:
		return s.X
	case *ast.AssignStmt:
		return s.Rhs[0]
	}
	return nil
}

// mayBlock reports whether x receives from a channel that may never deliver.
func mayBlock(x *ast.UnaryExpr) bool {
	if x.Op != token.ARROW {
		return false
	}
	call, ok := x.X.(*ast.CallExpr)
	if !ok {
		return true
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return !ok || sel.Sel.Name != "Done" && sel.Sel.Name != "After"
}

// channels returns the names of a declaration's channels.
func channels(d ast.Decl) map[string]bool {
	out := map[string]bool{}
	add := func(names []*ast.Ident, typ ast.Expr) {
		if _, ok := typ.(*ast.ChanType); ok {
			for _, name := range names {
				out[name.Name] = true
			}
		}
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			add(n.Names, n.Type)
		case *ast.ValueSpec:
			add(n.Names, n.Type)
		case *ast.AssignStmt:
			for i, x := range n.Rhs {
				call, ok := x.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 || len(n.Lhs) != len(n.Rhs) {
					continue
				}
				name, named := n.Lhs[i].(*ast.Ident)
				if fn, ok := call.Fun.(*ast.Ident); ok && named && fn.Name == "make" {
					add([]*ast.Ident{name}, call.Args[0])
				}
			}
		}
		return true
	})
	return out
}
