#!/usr/bin/env bash
# Checks the k6 scripts by types: k6's own, and souk's REST API as gen/ts has it, so that every path, query, body and
# field that they use is in the OpenAPI document. Seconds; npm gets the types at the first time. k6 itself is not run here:
# the nightly workflow runs it, and smoke.sh runs the scripts without it.
set -euo pipefail
cd "$(dirname "$0")/../.."
lock=tests/load/k6/package-lock.json
dir=$PWD/.cache/ops/npm/k6-$(sha256sum "$lock" | cut -c 1-12)
if [ ! -e "$dir/done" ]; then
  rm -rf "$dir"
  mkdir -p "$dir"
  cp tests/load/k6/package.json "$lock" "$dir"
  npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
  touch "$dir/done"
fi
node "$dir/node_modules/typescript/bin/tsc" --project tests/load/k6 --typeRoots "$dir/node_modules/@types"
scripts=(tests/load/k6/{browse,checkout,flash,soak}.js tests/load/k6/lib/*.js)
echo "k6: ${#scripts[@]} scripts fit k6's types and the OpenAPI document"
node tests/load/k6/catalogue.js | awk -F, 'NF != 11 { print "catalogue.js: line " NR " has " NF " fields" > "/dev/stderr"; exit 1 }
  END { if (NR != 1002) { print "catalogue.js: " NR " lines" > "/dev/stderr"; exit 1 } }'
echo "k6: not run here"
