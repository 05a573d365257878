package arch

import (
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const metricsPage = "docs/metrics.md"

const prometheusPath = "github.com/prometheus/client_golang/prometheus"

// documentedMetric is a row of the metrics page: the name and the type. A row without a type is a metric of a library.
var documentedMetric = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (counter|gauge|histogram) \\|")

// documentedMetrics compares the metrics that the code creates with the tables of the metrics page.
func documentedMetrics(t *tree) []finding {
	text, err := t.text(metricsPage)
	if err != nil {
		return []finding{{path: metricsPage, what: err.Error()}}
	}
	said := map[string]string{}
	lines := map[string]int{}
	for n, line := range strings.Split(text, "\n") {
		if m := documentedMetric.FindStringSubmatch(line); m != nil {
			said[m[1]], lines[m[1]] = m[2], n+1
		}
	}
	var out []finding
	there := map[string]bool{}
	for _, f := range t.goes {
		if f.test || f.generated || (!within(f.dir, "pkg") && !within(f.dir, "apps") && !within(f.dir, "cmd")) {
			continue
		}
		for _, m := range createdMetrics(f) {
			at := finding{path: f.path, line: t.line(m.node)}
			if m.name == nil {
				at.what = "the name of a metric is a literal, or a sum with one"
				out = append(out, at)
				continue
			}
			known := false
			for name, typ := range said {
				if m.name.MatchString(name) && (m.typ == "" || m.typ == typ) {
					there[name], known = true, true
				}
			}
			if !known {
				at.what = strings.TrimSpace(m.typ+" "+strings.Trim(m.name.String(), "^$")) + " is not in " + metricsPage
				out = append(out, at)
			}
		}
	}
	for name := range said {
		if !there[name] {
			out = append(out, finding{path: metricsPage, line: lines[name], what: "there is no metric " + name})
		}
	}
	return out
}

// createdMetric is a place that creates a metric. Its name is a pattern, because a part of it may be a variable.
type createdMetric struct {
	node ast.Node
	name *regexp.Regexp // nil: not a literal
	typ  string         // "" if the place does not say
}

// createdMetrics finds the options and descriptions of Prometheus metrics.
func createdMetrics(f *goFile) []createdMetric {
	local := localNames(f)
	if !slices.ContainsFunc(f.imports, func(i goImport) bool { return i.path == prometheusPath }) {
		return nil
	}
	var out []createdMetric
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			typ, ok := metricType(n.Type, local)
			if !ok {
				return true
			}
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" {
						out = append(out, createdMetric{node: kv, name: namePattern(kv.Value), typ: typ})
					}
				}
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "NewDesc" {
				if x, ok := sel.X.(*ast.Ident); ok && local[x.Name] == prometheusPath && len(n.Args) > 0 {
					out = append(out, createdMetric{node: n, name: namePattern(n.Args[0])})
				}
			}
		}
		return true
	})
	return out
}

// metricType returns the type of metric that options are for: prometheus.GaugeOpts are for a gauge.
func metricType(e ast.Expr, local map[string]string) (string, bool) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || local[x.Name] != prometheusPath {
		return "", false
	}
	name, ok := strings.CutSuffix(sel.Sel.Name, "Opts")
	return strings.ToLower(name), ok && slices.Contains([]string{"Counter", "Gauge", "Histogram"}, name)
}

// namePattern returns a pattern of the names that an expression may have, or nil.
func namePattern(e ast.Expr) *regexp.Regexp {
	pattern, literal := "", false
	var add func(ast.Expr)
	add = func(e ast.Expr) {
		switch e := e.(type) {
		case *ast.BinaryExpr:
			add(e.X)
			add(e.Y)
		case *ast.BasicLit:
			if text, err := strconv.Unquote(e.Value); err == nil {
				pattern, literal = pattern+regexp.QuoteMeta(text), true
			}
		default:
			pattern += "[a-z]+"
		}
	}
	add(e)
	if !literal {
		return nil
	}
	return regexp.MustCompile("^" + pattern + "$")
}
