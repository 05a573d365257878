#!/usr/bin/env bash
# Runs the quick checks of all areas of infra/ and of the load tests, and says how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
for check in infra/*/check.sh tests/load/check.sh; do
  from=$SECONDS
  echo "=== $check"
  "$check" || failed+=("$check")
  echo "    $((SECONDS - from)) s"
done
[ "${#failed[@]}" -eq 0 ] || {
  echo "infra: these failed: ${failed[*]}" >&2
  exit 1
}
