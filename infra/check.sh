#!/usr/bin/env bash
# Runs the quick checks of all areas of infra/ and of the load tests, and says how long each took.
#
# usage: check.sh           all of them
#        check.sh --ci      what .ci/run has time for when nothing is built yet: pipelines, alerts and dashboards, load scripts
set -euo pipefail
cd "$(dirname "$0")/.."
checks=(infra/*/check.sh tests/load/check.sh)
[ "${1:-}" != --ci ] || checks=(infra/ci/check.sh infra/observability/check.sh tests/load/check.sh)
failed=()
for check in "${checks[@]}"; do
  from=$SECONDS
  echo "=== $check"
  "$check" || failed+=("$check")
  echo "    $((SECONDS - from)) s"
done
[ "${#failed[@]}" -eq 0 ] || {
  echo "infra: these failed: ${failed[*]}" >&2
  exit 1
}
[ "${1:-}" != --ci ] || echo "infra: left to make infra-check: the Dockerfile, Compose's own loader, the chart and manifests, Terraform"
