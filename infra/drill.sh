#!/usr/bin/env bash
# Runs the long checks of all areas of infra/, and says how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
for drill in infra/docker/build.sh infra/*/drill.sh; do
  from=$SECONDS
  echo "=== $drill"
  "$drill" || failed+=("$drill")
  echo "    $((SECONDS - from)) s"
done
[ "${#failed[@]}" -eq 0 ] || {
  echo "infra: these failed: ${failed[*]}" >&2
  exit 1
}
