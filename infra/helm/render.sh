#!/usr/bin/env bash
# Writes what is generated from the chart: the plain manifests in infra/k8s/{base,services,monitoring}, the table of values
# in infra/helm/souk/README.md, and the chart's copy of the alert and recording rules (a chart can't read files outside of
# its own folder).
set -euo pipefail
cd "$(dirname "$0")/../.."
rules=infra/observability/prometheus/rules
if [ -d "$rules" ]; then
  mkdir -p infra/helm/souk/files/rules
  rm -f infra/helm/souk/files/rules/*.yaml
  cp "$rules"/*.yaml infra/helm/souk/files/rules/
fi
GOFLAGS='' go -C tests/infra/kube run ./cmd/render
