package main

import (
	"fmt"
	"strings"
)

// runbooks is where the descriptions of alerts are, in this repository.
const runbooks = "docs/runbooks/"

// objective is what souk promises of a kind of request: at most budget of them are bad. Bad and total are rates; %s
// stands for the window. By are the labels that the objective holds for separately.
type objective struct {
	name, alert, what string
	by                string
	bad, total        string
	budget            float64
	consequence       string
}

// public selects requests of customers that end soon: streams wait on purpose.
const public = `route!~"/health/.*|/dev/.*|/v1/me/notifications:stream"`

func objectives() []objective {
	slow := func(seconds string) string {
		return `sum(rate(http_request_duration_seconds_count{` + public + `}[%[1]s]))` +
			` - sum(rate(http_request_duration_seconds_bucket{` + public + `,le="` + seconds + `"}[%[1]s]))`
	}
	const all = `sum(rate(http_request_duration_seconds_count{` + public + `}[%[1]s]))`
	return []objective{
		{
			name: "availability", alert: "SoukAvailabilityBudgetBurn", what: "requests fail (5xx)", budget: .001,
			bad:         `sum(rate(http_request_total{` + public + `,status=~"5.."}[%[1]s]))`,
			total:       `sum(rate(http_request_total{` + public + `}[%[1]s]))`,
			consequence: "Customers see errors.",
		},
		{
			name: "latency-p95", alert: "SoukLatencyP95BudgetBurn", what: "requests take more than 200 ms", budget: .05,
			bad: slow("0.2"), total: all, consequence: "Pages are slow for many customers.",
		},
		{
			name: "latency-p99", alert: "SoukLatencyP99BudgetBurn", what: "requests take more than 500 ms", budget: .01,
			bad: slow("0.5"), total: all, consequence: "Some customers wait for long.",
		},
		{
			name:   "calls",
			alert:  "SoukServiceErrorBudgetBurn",
			what:   "calls of a service fail",
			by:     "service",
			budget: .001,
			bad: `sum by (service) (rate(rpc_server_requests_total{` +
				`code=~"internal|unavailable|timeout|overloaded"}[%[1]s]))`,
			total:       `sum by (service) (rate(rpc_server_requests_total[%[1]s]))`,
			consequence: "What the service does fails, or works after retries.",
		},
		{
			name:   "database",
			alert:  "SoukDatabaseLatencyBudgetBurn",
			what:   "statements take more than 50 ms",
			by:     "service",
			budget: .05,
			bad: `sum by (service) (rate(postgres_query_duration_seconds_count[%[1]s]))` +
				` - sum by (service) (rate(postgres_query_duration_seconds_bucket{le="0.05"}[%[1]s]))`,
			total:       `sum by (service) (rate(postgres_query_duration_seconds_count[%[1]s]))`,
			consequence: "Everything that the service does is slow, and its connections run out.",
		},
	}
}

// windows are those of the SRE workbook's burn rates.
var windows = []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"}

// objectiveRules returns the recording rules and the alerts of all objectives: several burn rates, each over a long
// window and a short one, so that an alert ends soon after its cause.
func objectiveRules() string {
	var b strings.Builder
	b.WriteString(`# Written by go run ./infra/observability/gen: do not edit.
#
# Objectives of the plan, as error budgets. Burn rates and windows are those of the SRE workbook, chapter 5, table 5-8:
# https://sre.google/workbook/alerting-on-slos/
groups:
`)
	for _, o := range objectives() {
		fmt.Fprintf(&b, "  - name: slo-%s\n    rules:\n", o.name)
		for _, w := range windows {
			o.record(&b, w)
		}
		fmt.Fprintf(&b, "      - record: slo:error_budget:ratio\n        expr: vector(%v)\n        labels: {slo: %s}\n",
			o.budget, o.name)
		o.alerts(&b)
	}
	b.WriteString("  - name: slo-budgets\n    interval: 10m # 30 days are much to read\n    rules:\n")
	for _, o := range objectives() {
		o.record(&b, "30d")
		fmt.Fprintf(&b, "      - record: slo:error_budget_remaining:ratio\n"+
			"        expr: 1 - slo:sli_error:ratio_rate30d{slo=%q} / %v\n        labels: {slo: %s}\n", o.name, o.budget, o.name)
	}
	return b.String()
}

// record writes the rule for the share of bad requests in a window. Without any bad request it is 0, not nothing.
func (o objective) record(b *strings.Builder, window string) {
	bad, total := fmt.Sprintf(o.bad, window), fmt.Sprintf(o.total, window)
	fmt.Fprintf(b, "      - record: slo:sli_error:ratio_rate%s\n        expr: |-\n", window)
	fmt.Fprintf(b, "          ((%s) or 0 * %s)\n          / %s\n        labels: {slo: %s}\n", bad, total, total, o.name)
}

func (o objective) alerts(b *strings.Builder) {
	of := ""
	if o.by != "" {
		of = fmt.Sprintf(" of {{ $labels.%s }}", o.by)
	}
	burn := func(rate float64, long, short string) string {
		sli := func(w string) string {
			return fmt.Sprintf("slo:sli_error:ratio_rate%s{slo=%q} > %s * %v", w, o.name, number(rate), o.budget)
		}
		return fmt.Sprintf("(%s and %s)", sli(long), sli(short))
	}
	for _, a := range []struct{ severity, expr, meaning string }{
		{
			"critical", burn(14.4, "1h", "5m") + "\n          or " + burn(6, "6h", "30m"),
			"at this rate the budget of 30 days is gone in 5 days or less",
		},
		{
			"warning", burn(3, "1d", "2h") + "\n          or " + burn(1, "3d", "6h"),
			"at this rate the budget of 30 days is gone before they are over",
		},
	} {
		fmt.Fprintf(b, `      - alert: %s
        expr: |-
          %s
        labels: {severity: %s, slo: %s}
        annotations:
          summary: Too many %s%s
          description: "{{ $value | humanizePercentage }} do; %s. %s"
          runbook_url: %s%s.md
`, o.alert, a.expr, a.severity, o.name, o.what, of, a.meaning, o.consequence, runbooks, o.alert)
	}
}

func number(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }
