#!/usr/bin/env bash
# Generates, builds and packs the TypeScript client gen/ts. With --check it compares instead of generating, and does not
# pack. With --test it does that and runs the tests against bin/souk. Called by `make client`, `make api` and `make client-test`.
set -euo pipefail
cd "$(dirname "$0")/../../gen/ts"
mode=${1:-}
case $mode in
'' | --check | --test) ;;
*)
  echo "usage: tools/openapi/client.sh [--check|--test]" >&2
  exit 2
  ;;
esac

if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
if [ -n "$mode" ]; then
  npm run --silent check
else
  npm run --silent generate
  rm -rf dist .test # without leftovers of deleted files
fi
npm run --silent build
echo "client: builds"
case $mode in
'')
  mkdir -p ../../bin
  cp ../../LICENSE . # npm packs it
  npm pack --silent --pack-destination ../../bin
  ;;
--test) npm run --silent test ;;
esac
