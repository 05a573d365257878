#!/usr/bin/env bash
# Runs one k6 script against a souk dev on this machine, in k6's container, and verifies souk afterwards. Results are in
# bin/k6. usage: k6.sh browse|checkout|flash|soak
set -euo pipefail
cd "$(dirname "$0")/../.."
script=$1
image=grafana/k6:2.3.0
work=$(mktemp -d)
out=bin/k6
mkdir -p "$out"
chmod 777 "$out" # k6 is another user in its container
pid=
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid" || true; } 2>/dev/null; rm -rf "$work"' EXIT
make build
export SOUK_URL=http://127.0.0.1:8080
# All customers come from one address here, and it may send as many requests as they do.
export SOUK_GATEWAY_ADDRESS_RATE_PER_SECOND=0
bin/souk dev --data-dir "$work/data" --http 127.0.0.1:8080 >"$out/souk-$script.log" 2>&1 &
pid=$!
for _ in $(seq 300); do
  ! curl -fs "$SOUK_URL/health/ready" >/dev/null || break
  kill -0 "$pid"
  sleep 0.2
done
stock=2000
node tests/load/k6/catalogue.js "$stock" >"$work/products.csv"
bin/souk import products "$work/products.csv" --create-shops --data-dir "$work/data"
sleep 5 # the listing follows
code=0
docker run --rm --network host --volume "$PWD/tests/load/k6:/k6:ro" --volume "$PWD/$out:/out" --env SOUK_URL \
  --env "STOCK=$stock" "$image" run --quiet --summary-export "/out/$script.json" "/k6/$script.js" || code=$?
bin/souk verify --data-dir "$work/data"
[ "$code" -eq 0 ] || {
  echo "k6.sh: k6 ended with $code: 99 says that a threshold was crossed" >&2
  exit "$code"
}
