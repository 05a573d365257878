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
// ends with its context. The rule reads no types: it knows a channel by the declaration of its name in the same
// function, and fields and functions by their declaration in the same folder.
func bareReceives(t *tree) []finding {
	shared := map[string]map[string]bool{} // by folder
	for _, f := range t.goes {
		if shared[f.dir] == nil {
			shared[f.dir] = map[string]bool{}
		}
		addChannels(shared[f.dir], f.syntax)
	}
	var out []finding
	for _, f := range t.goes {
		if !f.test && !(within(f.dir, "pkg") && testKit(f.dir)) {
			continue
		}
		for _, d := range f.syntax.Decls {
			for _, n := range waitsOf(d, shared[f.dir]) {
				out = append(out, finding{path: f.path, line: t.line(n), what: "waits for a channel without a timeout"})
			}
		}
	}
	return out
}

func waitsOf(d ast.Decl, shared map[string]bool) []ast.Node {
	var out []ast.Node
	local, answered := map[string]bool{}, map[ast.Expr]bool{}
	addChannels(local, d)
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
			known := shared
			if _, ok := n.X.(*ast.Ident); ok {
				known = local
			}
			if known[nameOf(n.X)] {
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

// addChannels adds the names of a node's channels, and of its functions that return one.
func addChannels(to map[string]bool, in ast.Node) {
	add := func(typ ast.Expr, suffix string, names ...*ast.Ident) {
		if _, ok := typ.(*ast.ChanType); ok {
			for _, name := range names {
				to[name.Name+suffix] = true
			}
		}
	}
	ast.Inspect(in, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			add(n.Type, "", n.Names...)
		case *ast.ValueSpec:
			add(n.Type, "", n.Names...)
		case *ast.FuncDecl:
			if r := n.Type.Results; r != nil && len(r.List) == 1 {
				add(r.List[0].Type, "()", n.Name)
			}
		case *ast.AssignStmt:
			for i, x := range n.Rhs {
				call, ok := x.(*ast.CallExpr)
				if ok && nameOf(call) == "make()" {
					if name, ok := n.Lhs[i].(*ast.Ident); ok {
						add(call.Args[0], "", name)
					}
				}
			}
		}
		return true
	})
}

// nameOf returns the last name of x: c for c and h.c, f() for f(t) and h.f(t).
func nameOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.CallExpr:
		return nameOf(x.Fun) + "()"
	}
	return ""
}
