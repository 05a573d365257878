#!/usr/bin/env bash
# Quick checks of infra/observability: configurations, rules and their tests, routes, and every PromQL against docs/metrics.md.
# It needs Debian's packages prometheus and prometheus-alertmanager (promtool, amtool), which tools/deps.sh may install; their
# services are not used. Seconds when warm. drill.sh has the long part.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export GOFLAGS="${GOFLAGS:-} -pgo=off"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for tool in promtool amtool; do
  command -v "$tool" >/dev/null || {
    echo "observability: $tool is missing: apt-get install --no-install-recommends prometheus prometheus-alertmanager" >&2
    exit 1
  }
done

(cd "$root" && go run ./infra/observability/gen -check)

(cd prometheus && promtool check config prometheus.yml)
# Debian's build has no service discovery of Kubernetes: all else of the file is checked.
mkdir -p "$tmp/prometheus/targets"
cp -r prometheus/rules "$tmp/prometheus"
cp prometheus/targets/*.yml "$tmp/prometheus/targets"
sed 's/kubernetes_sd_configs: .*/static_configs: [{targets: ["127.0.0.1:1"]}]/' prometheus/kubernetes.yml >"$tmp/prometheus/kubernetes.yml"
(cd "$tmp/prometheus" && promtool check config kubernetes.yml | grep -v rules/)
(cd prometheus && promtool test rules tests/*.yaml)
# The rules about CloudNativePG are in a PrometheusRule, the last document of its file.
sed -n '/^kind: PrometheusRule$/,$p' ../k8s/databases/production/monitoring.yaml | sed -n '/^spec:$/,$p' | sed -e 1d -e 's/^  //' \
  >"$tmp/prometheus/rules/cloudnativepg.yaml"
cp -r prometheus/tests "$tmp/prometheus"
(cd "$tmp/prometheus" && promtool check rules rules/cloudnativepg.yaml && promtool test rules tests/kubernetes/*.yaml)

# Debian's Alertmanager is older than url_file (0.26): the check replaces it by an address.
sed 's|url_file: .*|url: http://127.0.0.1:1/|' alertmanager/alertmanager.yml >"$tmp/alertmanager.yml"
amtool check-config "$tmp/alertmanager.yml" >/dev/null
routes=0
while IFS= read -r line; do
  [[ $line == *" -> "* && $line != \#* ]] || continue
  read -ra labels <<<"${line%% -> *}"
  amtool config routes test --config.file="$tmp/alertmanager.yml" --verify.receivers="${line##* -> }" "${labels[@]}" >/dev/null 2>&1 || {
    echo "alertmanager/routes.txt: $line: it goes elsewhere" >&2
    exit 1
  }
  routes=$((routes + 1))
done <alertmanager/routes.txt
[ "$routes" -gt 0 ]
echo "alertmanager: configuration and $routes routes are right"

(cd "$root/tests/infra/promql" && go vet ./... && go test -count=1 -v ./... | grep -E '^( *---|ok|FAIL|    [a-z_]+\.go)')

echo "observability: not checked here: the service discovery of prometheus/kubernetes.yml, url_file of Alertmanager, and"
echo "observability: alloy/, loki/, tempo/ and Grafana's own reading of its files, for which there is no program on this machine"
