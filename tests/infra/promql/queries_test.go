package promql

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const observability = "../../../infra/observability/"

// query is an expression and where it is.
type query struct{ place, expr string }

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

func rules(t *testing.T) []rule {
	t.Helper()
	paths, err := filepath.Glob(observability + "prometheus/rules/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var out []rule
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var file ruleFile
		require.NoError(t, yaml.Unmarshal(text, &file), path)
		for _, g := range file.Groups {
			out = append(out, g.Rules...)
		}
	}
	return out
}

// labelValues is a query of a dashboard's variable: label_values(metric, label).
var labelValues = regexp.MustCompile(`^label_values\(([a-z_]+), ([a-z_]+)\)$`)

// dashboardQueries returns the PromQL of all dashboards. Grafana's own variables are replaced.
func dashboardQueries(t *testing.T) []query {
	t.Helper()
	paths, err := filepath.Glob(observability + "grafana/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var out []query
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct {
					Expr       string
					Datasource struct{ Type string }
				}
			}
			Templating struct {
				List []struct {
					Name, Type string
					Query      any
				}
			}
			Annotations struct{ List []struct{ Name, Expr string } }
		}
		require.NoError(t, json.Unmarshal(text, &d), path)
		add := func(what, expr string) {
			expr = strings.ReplaceAll(expr, "$__rate_interval", "5m")
			out = append(out, query{filepath.Base(path) + ": " + what, expr})
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				if target.Datasource.Type == "prometheus" {
					add(p.Title, target.Expr)
				}
			}
		}
		for _, a := range d.Annotations.List {
			add("annotation "+a.Name, a.Expr)
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			text, _ := v.Query.(map[string]any)["query"].(string)
			m := labelValues.FindStringSubmatch(text)
			require.NotNil(t, m, "%s: variable %s: %s", path, v.Name, text)
			add("variable "+v.Name, "count by ("+m[2]+") ("+m[1]+")")
		}
	}
	return out
}

func allQueries(t *testing.T) []query {
	t.Helper()
	out := dashboardQueries(t)
	for _, r := range rules(t) {
		out = append(out, query{"rule " + r.Record + r.Alert, r.Expr})
	}
	return out
}
