package promql

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
)

// library metrics are documented by what makes them.
var library = []string{"go_", "process_", "promhttp_"}

// TestLiveMetricsAreDocumented compares docs/metrics.md with what a running souk serves. SOUK_METRICS names files with
// answers of /metrics, separated by commas.
func TestLiveMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	files := os.Getenv("SOUK_METRICS")
	if files == "" {
		t.Skip("SOUK_METRICS is not set: infra/observability/drill.sh sets it")
	}
	known := documentedMetrics(t)
	seen := map[string]bool{}
	for path := range strings.SplitSeq(files, ",") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var p expfmt.TextParser
		families, err := p.TextToMetricFamilies(bytes.NewReader(text))
		require.NoError(t, err, path)
		for name, f := range families {
			if slices.ContainsFunc(library, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				continue
			}
			seen[name] = true
			d, ok := known[name]
			if !ok {
				t.Errorf("%s is not in docs/metrics.md", name)
				continue
			}
			if typ := strings.ToLower(f.GetType().String()); typ != d.typ {
				t.Errorf("%s is a %s, not a %s as docs/metrics.md says", name, typ, d.typ)
			}
			for _, m := range f.GetMetric() {
				if have, want := names(m), slices.Sorted(slices.Values(d.labels)); !slices.Equal(have, want) {
					t.Errorf("%s has the labels %v, not %v as docs/metrics.md says", name, have, want)
					break
				}
			}
		}
	}
	var missing []string
	for name := range known {
		if !seen[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	t.Logf("%d of %d documented metrics were seen; not seen, because nothing of the kind happened: %v",
		len(seen), len(known), missing)
	for _, name := range missing {
		if !slices.Contains(rare, name) {
			t.Errorf("%s was not seen, though the traffic should have made it", name)
		}
	}
}

// rare metrics have no series until something unusual happens.
var rare = []string{
	"rate_limit_refused_total", // a limit was exceeded
	"saga_unknown",             // sagas of another release
	"event_dead_total",         // an event failed too often
	"job_count",                // a job waits at the moment of the scrape
	"delivery_failed_total", "delivery_skipped_total", "delivery_delayed_total",
	"http_client_request_total", "http_client_request_duration_seconds", // a webhook or a provider was called
	"event_stream_limit_bytes", // the server's disk is larger than the stream's limit
}

func names(m *dto.Metric) []string {
	var out []string
	for _, l := range m.GetLabel() {
		out = append(out, l.GetName())
	}
	slices.Sort(out)
	return out
}
