package promql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

func TestQueriesParseAndTheirMetricsExist(t *testing.T) {
	t.Parallel()
	known := catalogue(t)
	queries := allQueries(t)
	require.Greater(t, len(queries), 150, "the dashboards and rules were not found")
	selectors := 0
	for _, q := range queries {
		expr, err := parser.ParseExpr(q.expr)
		if err != nil {
			t.Errorf("%s: %v\n\t%s", q.place, err, q.expr)
			continue
		}
		for _, problem := range check(expr, known, &selectors) {
			t.Errorf("%s: %s\n\t%s", q.place, problem, q.expr)
		}
	}
	t.Logf("%d queries with %d selectors were checked against %d metrics", len(queries), selectors, len(known))
}

func TestCheckFindsUnknownMetricsAndLabels(t *testing.T) {
	t.Parallel()
	known := metrics{"a_total": {"service", "code"}, "b": {"service"}}
	for expr, want := range map[string][]string{
		`sum by (service) (rate(a_total{code="x"}[5m])) / b`: nil,
		`rate(c_total[5m])`: {"there is no metric c_total"},
		`b{code="x"}`:       {"b has no label code"},
		`sum by (code) (b)`: {"nothing in sum has the label code"},
		`label_replace(b, "x", "$1", "service", "(.*)")`: nil,
		`{service="x"}`: {"a selector without a metric"},
	} {
		parsed, err := parser.ParseExpr(expr)
		require.NoError(t, err)
		n := 0
		require.Equal(t, want, check(parsed, known, &n), expr)
	}
}

// check returns what is wrong with a query's selectors and groupings.
func check(expr parser.Expr, known metrics, selectors *int) []string {
	var problems []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			*selectors++
			problems = append(problems, checkSelector(n, known)...)
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				if !n.Without && !has(n.Expr, label, known) {
					problems = append(problems, fmt.Sprintf("nothing in %s has the label %s", n.Op, label))
				}
			}
		}
		return nil
	})
	return problems
}

func checkSelector(n *parser.VectorSelector, known metrics) []string {
	if n.Name == "" {
		return []string{"a selector without a metric"}
	}
	have, ok := known[n.Name]
	if !ok {
		return []string{"there is no metric " + n.Name}
	}
	var problems []string
	for _, m := range n.LabelMatchers {
		if m.Name != labels.MetricName && !slices.Contains(have, m.Name) && !scraped(m.Name) {
			problems = append(problems, fmt.Sprintf("%s has no label %s", n.Name, m.Name))
		}
	}
	return problems
}

// has reports whether a metric within an expression has a label, or a function makes one.
func has(expr parser.Expr, label string, known metrics) bool {
	found := scraped(label)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found = found || slices.Contains(known[n.Name], label)
		case *parser.Call:
			found = found || strings.HasPrefix(n.Func.Name, "label_")
		}
		return nil
	})
	return found
}

// scraped reports whether Prometheus adds a label when it scrapes.
func scraped(label string) bool { return label == "job" || label == "instance" }
