#!/usr/bin/env bash
# Runs the collector and Prometheus with the configurations of this folder and a souk dev that sends traces, sells something, and
# checks what arrives: traces with errors are kept, few of the others; span metrics with exemplars; every metric of docs/metrics.md;
# all rules evaluate. Minutes, most of them to build the collector once. It does not send to Tempo, nor span metrics to Prometheus:
# Debian's is too old for OTLP.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export GOFLAGS="${GOFLAGS:-} -pgo=off"
tmp=$(mktemp -d)
pids=()
stop() {
  local code=$? pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  [ "$code" -eq 0 ] || tail -n 15 "$tmp"/*.log >&2
  rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() {
  echo "drill: $1" >&2
  exit 1
}
free_port() {
  local port
  while :; do
    port=$(shuf -i 20000-29999 -n 1)
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}
# until_true runs a command until it succeeds, for at most so many seconds.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "timeout: $*"
    sleep 1
  done
}

command -v prometheus >/dev/null || fail "prometheus is missing: apt-get install --no-install-recommends prometheus"
collector=$(collector/build.sh)
souk=${SOUK:-} # a binary that was built already
if [ -z "$souk" ]; then
  souk=$tmp/souk
  (cd "$root" && go build -o "$souk" ./cmd/souk)
fi

"$collector" validate --config collector/config.yaml
otlp=$(free_port) http=$(free_port) checks=$(free_port) prom=$(free_port)
traces=$tmp/traces.json spans=$tmp/spans.json
OTLP_ADDR=127.0.0.1:$otlp METRICS_FLUSH=2s DECISION_WAIT=8s TRACES_FILE=$traces METRICS_FILE=$spans \
  "$collector" --config collector/config.yaml --config collector/drill.yaml >"$tmp/collector.log" 2>&1 &
pids+=($!)

SOUK_TELEMETRY_ENDPOINT=http://127.0.0.1:$otlp SOUK_TELEMETRY_SAMPLE_RATIO=1 \
  "$souk" dev --ephemeral --demo --data-dir "$tmp/data" --http "127.0.0.1:$http" >"$tmp/souk.log" 2>&1 &
pids+=($!)
until_true 240 grep -q 'souk is ready' "$tmp/souk.log"
admin=$(sed -n 's|.*http://\(127.0.0.1:[0-9]*\)/metrics.*|\1|p' "$tmp/souk.log")
"$souk" verify --data-dir "$tmp/data" --every 5s --metrics "127.0.0.1:$checks" >"$tmp/verify.log" 2>&1 &
pids+=($!)

mkdir "$tmp/rules"
for rules in prometheus/rules/*.yaml; do # all at once, also those of 10 minutes
  sed '/^    interval: 10m/d' "$rules" >"$tmp/rules/${rules##*/}"
done
cat >"$tmp/prometheus.yml" <<EOF
global: {scrape_interval: 2s, evaluation_interval: 5s}
rule_files: ["$tmp/rules/*.yaml"]
scrape_configs:
  - {job_name: souk, static_configs: [{targets: ["$admin"]}]}
  - {job_name: souk-verify, static_configs: [{targets: ["127.0.0.1:$checks"]}]}
EOF
prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/tsdb" --web.listen-address="127.0.0.1:$prom" \
  --enable-feature=exemplar-storage >"$tmp/prometheus.log" 2>&1 &
pids+=($!)

# A sale, a declined card, and many requests of which nothing is to be said.
api=http://127.0.0.1:$http
trace() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
me="Authorization: Bearer $("$souk" token --data-dir "$tmp/data" --email ana@example.com)"
address='{"name":"Ana","line1":"Rua das Flores 1","city":"Fortaleza","region":"CE","postalCode":"60000-000","countryCode":"BR"}'
variant=$(curl -sf "$api/v1/products?query=scarf" | grep -o 'var_[0-9a-f]*' | head -n 1)
checkout() { # token, trace
  printf '{"variantId":"%s","quantity":1}' "$variant" |
    curl -sf -o /dev/null -H "$me" -H 'Content-Type: application/json' "$api/v1/cart/items" -d @-
  printf '{"shippingAddress":%s,"payment":{"method":"card","token":"%s"}}' "$address" "$1" |
    curl -s -o /dev/null -w '%{http_code}' -H "$me" -H 'Content-Type: application/json' -H "Idempotency-Key: $2" \
      -H "traceparent: 00-$2-00f067aa0ba902b7-01" "$api/v1/checkout" -d @-
}
sold=$(trace) declined=$(trace)
[ "$(checkout tok_ok "$sold")" = 201 ] || fail "the sale failed"
[ "$(checkout tok_declined "$declined")" = 402 ] || fail "the card was not declined"
curl -s -o /dev/null "$api/v1/products?query=qqqq"
quick=60
for ((i = 0; i < quick; i++)); do curl -sf -o /dev/null "$api/v1/shops?page_size=$((i % 50 + 1))"; done

echo "drill: waiting for the tail sampling's decisions"
until_true 90 grep -q "$declined" "$traces"
sleep 15
kept=$(grep -o '"traceId":"[0-9a-f]*"' "$traces" | sort -u | wc -l)
[ "$kept" -lt "$quick" ] || fail "$kept traces were kept, of $((quick + 2)): nothing was dropped"
echo "drill: the trace of the declined card was kept, and $kept traces of more than $quick in all"

grep -q '"name":"traces.span.metrics.calls"' "$spans" || fail "no span metrics"
grep -q '"key":"service.name","value":{"stringValue":"order"}' "$spans" || fail "no span metrics of order"
grep -q '"exemplars":\[' "$spans" || fail "the span metrics have no exemplars"
echo "drill: span metrics of $(grep -o '"key":"service.name","value":{"stringValue":"[a-z]*"}' "$spans" | sort -u | wc -l) services arrive, with exemplars"

curl -sf -H 'Accept: application/openmetrics-text; version=1.0.0' "http://$admin/metrics" >"$tmp/openmetrics.txt"
grep -qE "^http_request_duration_seconds_bucket.*checkout.*trace_id=\"($sold|$declined)\"" "$tmp/openmetrics.txt" ||
  fail "the checkout's histogram has no exemplar with its trace"
echo "drill: the checkout's trace is an exemplar of its duration"

verified() { [[ $(curl -sf "http://127.0.0.1:$checks/metrics") == *'verify_run_total{result="ok"} '[1-9]* ]]; }
until_true 60 verified
curl -sf "http://$admin/metrics" >"$tmp/metrics.txt"
curl -sf "http://127.0.0.1:$checks/metrics" >"$tmp/checks.txt"
(cd "$root/tests/infra/promql" &&
  SOUK_METRICS="$tmp/metrics.txt,$tmp/checks.txt" go test -count=1 -run Live -v . | grep -E '^( *---|ok|FAIL|    [a-z_]+\.go)')

ask() { curl -sf "http://127.0.0.1:$prom/api/v1/$1"; }
count() { { grep -o "$1" || true; } | wc -l; }
targets_up() { [ "$(ask targets | count '"health":"up"')" -eq 2 ]; }
until_true 60 targets_up
rules_evaluated() { [ "$(ask rules | count '"health":"unknown"')" -eq 0 ]; }
until_true 60 rules_evaluated
[ "$(ask rules | count '"health":"err"')" -eq 0 ] || fail "a rule cannot be evaluated"
echo "drill: Prometheus scrapes 2 targets, $(ask rules | count '"health":"ok"') rules and groups evaluate"
exemplars() {
  local now
  now=$(date +%s)
  ask "query_exemplars?query=http_request_duration_seconds_bucket&start=$((now - 3600))&end=$now" | count trace_id
}
[ "$(exemplars)" -gt 0 ] || fail "Prometheus has no exemplar"
echo "drill: Prometheus keeps the exemplars"
