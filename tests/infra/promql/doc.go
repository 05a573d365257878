// Package promql checks the PromQL of infra/observability: every query of a dashboard, rule and alert parses, and its
// metrics and labels exist. It also checks that each alert has a runbook and tests. It is a module of its own, because
// Prometheus's parser has many dependencies.
//
// Metrics of souk are those of docs/metrics.md, which tests/arch compares with the code. With SOUK_METRICS, a list of
// files with what /metrics answered, the page is also compared with what a running souk serves.
package promql
