#!/usr/bin/env bash
# Runs five iterations of each k6 script against a souk dev, with a stand-in for k6 (tests/load/k6/smoke): every request gets
# the status that the script expects, nothing is oversold, and souk verify is clean. No load, and not k6 itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid" || true; } 2>/dev/null; rm -rf "$work"' EXIT
[ -x bin/souk ] || make build
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
export SOUK_URL=http://127.0.0.1:$port
bin/souk dev --data-dir "$work/data" --http "127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 300); do
  ! curl -fs "$SOUK_URL/health/ready" >/dev/null || break
  kill -0 "$pid" || { cat "$work/log" >&2 && exit 1; }
  sleep 0.2
done
node tests/load/k6/catalogue.js 3 >"$work/products.csv"
bin/souk import products "$work/products.csv" --create-shops --data-dir "$work/data"
# The listing follows within a second or two.
for _ in $(seq 100); do
  ! curl -fs "$SOUK_URL/v1/products/by-handle/load-flash/flash" >/dev/null || break
  sleep 0.2
done
THINK=0 node tests/load/k6/smoke/run.js browse.js checkout.js soak.js flash.js
bin/souk verify --data-dir "$work/data" | tail -n 1
echo "k6 scripts: each ran against souk, without k6"
