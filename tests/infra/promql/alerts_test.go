package promql

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../../../"

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	alerts := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts[r.Alert] = true
		require.Contains(t, []string{"critical", "warning", "none"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Equal(t, "docs/runbooks/"+r.Alert+".md", r.Annotations["runbook_url"])
		text, err := os.ReadFile(root + r.Annotations["runbook_url"])
		require.NoError(t, err, "the alert %s needs a runbook", r.Alert)
		for _, part := range []string{"# " + r.Alert + "\n", "## Find the cause", "## What to do", "## Over when"} {
			require.Contains(t, string(text), part, r.Alert)
		}
	}
	require.Greater(t, len(alerts), 30)
	index, err := os.ReadFile(root + "docs/runbooks/README.md")
	require.NoError(t, err)
	for name := range alerts {
		require.Contains(t, string(index), "("+name+".md)", "docs/runbooks/README.md lists every alert")
	}
	runbooks, err := filepath.Glob(root + "docs/runbooks/[A-Z]*.md")
	require.NoError(t, err)
	for _, path := range runbooks {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		require.True(t, name == "README" || alerts[name], "docs/runbooks/%s.md belongs to no alert", name)
	}
}

var (
	firing = regexp.MustCompile(`labels: 'ALERTS\{alertname="(\w+)",alertstate="firing"[^']*', value: 1`)
	silent = regexp.MustCompile(`expr: '?ALERTS\{alertname="(\w+)"[^']*'?, eval_time: \w+, exp_samples: \[\]`)
)

func TestEveryAlertIsTestedBothWays(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(observability + "prometheus/tests/*.yaml")
	require.NoError(t, err)
	fires, isSilent := map[string]bool{}, map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range firing.FindAllStringSubmatch(string(text), -1) {
			fires[m[1]] = true
		}
		for _, m := range silent.FindAllStringSubmatch(string(text), -1) {
			isSilent[m[1]] = true
		}
	}
	for _, r := range rules(t) {
		if r.Alert == "" || r.Alert == "Watchdog" { // it always fires
			continue
		}
		require.True(t, fires[r.Alert], "no test makes %s fire", r.Alert)
		require.True(t, isSilent[r.Alert], "no test shows when %s does not fire", r.Alert)
	}
}

// TestNATSChartKeepsNamesAndJob: NATS's own chart gives its exporter a prefix, and its job the chart's name.
func TestNATSChartKeepsNamesAndJob(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(root + "infra/k8s/nats/values.yaml")
	require.NoError(t, err)
	var values struct {
		PromExporter struct {
			Patch []struct {
				Path  string   `yaml:"path"`
				Value []string `yaml:"value"`
			} `yaml:"patch"`
			PodMonitor struct {
				Patch []struct {
					Value []map[string]any `yaml:"value"`
				} `yaml:"patch"`
			} `yaml:"podMonitor"`
		} `yaml:"promExporter"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &values))
	require.Len(t, values.PromExporter.Patch, 1)
	require.Equal(t, "/args", values.PromExporter.Patch[0].Path)
	args := values.PromExporter.Patch[0].Value
	require.Subset(t, args, []string{"-varz", "-connz", "-jsz=all"})
	require.NotContains(t, strings.Join(args, " "), "-prefix")
	require.Len(t, values.PromExporter.PodMonitor.Patch, 1)
	require.Equal(t, map[string]any{"targetLabel": "job", "replacement": "nats"},
		values.PromExporter.PodMonitor.Patch[0].Value[0])
}
