package promql

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// metrics are names of series, with their labels.
type metrics map[string][]string

// documented is a row of docs/metrics.md.
type documented struct {
	typ    string
	labels []string
}

var row = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\| (.*) \\|$")

func documentedMetrics(t *testing.T) map[string]documented {
	t.Helper()
	text, err := os.ReadFile("../../../docs/metrics.md")
	require.NoError(t, err)
	out := map[string]documented{}
	for line := range strings.Lines(string(text)) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		var labels []string
		if m[3] != "–" {
			labels = strings.Split(m[3], ", ")
		}
		if !strings.HasPrefix(m[4], "*process*") {
			labels = append(labels, "service")
		}
		out[m[1]] = documented{m[2], labels}
	}
	require.Greater(t, len(out), 40, "docs/metrics.md has no tables")
	return out
}

// catalogue returns all series that queries may use: souk's, those of the exporters that testdata lists, those of
// Prometheus itself, and those of recording rules.
func catalogue(t *testing.T) metrics {
	t.Helper()
	out := metrics{
		"up": nil, "process_start_time_seconds": {"process"},
		"ALERTS": {"alertname", "alertstate", "severity", "service"},
	}
	for name, d := range documentedMetrics(t) {
		if d.typ != "histogram" {
			out[name] = d.labels
			continue
		}
		out[name+"_bucket"] = append(slices.Clone(d.labels), "le")
		out[name+"_sum"], out[name+"_count"] = d.labels, d.labels
	}
	lists, err := filepath.Glob("testdata/exporters/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, lists)
	for _, path := range lists {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(text), "# source: ", path)
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "#" {
				out[fields[0]] = fields[1:]
			}
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			labels := slices.Collect(maps.Keys(r.Labels))
			expr, err := parser.ParseExpr(r.Expr)
			require.NoError(t, err, r.Record)
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if a, ok := n.(*parser.AggregateExpr); ok && !a.Without {
					labels = append(labels, a.Grouping...)
				}
				return nil
			})
			out[r.Record] = append(out[r.Record], labels...)
		}
	}
	return out
}

// Prometheus sets these labels itself when it scrapes; the metric's own would become exported_job.
func TestNoMetricHasALabelOfPrometheus(t *testing.T) {
	t.Parallel()
	for name, d := range documentedMetrics(t) {
		for _, label := range d.labels {
			require.False(t, scraped(label), "%s has the label %s", name, label)
		}
	}
}
