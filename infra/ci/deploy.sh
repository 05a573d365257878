#!/usr/bin/env bash
# Deploys one version of souk with Helm: first one pod of each service as a canary, then the release. It asks Prometheus how
# fast the error budgets burn. If they burn too fast, or the rate is unknown, the canary goes and the release stays; after the
# upgrade, the release goes back to its last revision. Migrations stay: the old version works with the new schema.
#
# usage: deploy.sh VALUES...
# environment:
#   CHART, VERSION     the chart (a folder or oci://…) and the version of chart and images
#   IMAGE              repository of the images, with {service} in it
#   NAMESPACE          default souk
#   PROMETHEUS_URL     where Prometheus answers
#   PROMETHEUS_TOKEN   its bearer token, if it wants one
#   BURN_QUERY         PromQL: how many times too fast the budgets burn, one value
#   BURN_LIMIT         the value that is too much, default 14.4: a month's budget in two days
#   CANARY_SECONDS, WATCH_SECONDS, POLL_SECONDS   default 300, 300, 15
set -euo pipefail
[ $# -gt 0 ] || {
  echo "usage: deploy.sh VALUES..." >&2
  exit 2
}
: "${CHART:?}" "${VERSION:?}" "${IMAGE:?}" "${PROMETHEUS_URL:?}" "${BURN_QUERY:?}"
namespace=${NAMESPACE:-souk}
limit=${BURN_LIMIT:-14.4}
poll=${POLL_SECONDS:-15}
here=$(cd "$(dirname "$0")" && pwd)

# Longer than migrations.timeoutSeconds: otherwise Helm gives the release up while its migration still runs.
timeout=17m

common=(--namespace "$namespace" --set-string "image.tag=$VERSION" --set-string "image.repository=$IMAGE" --rollback-on-failure)
[[ $CHART != oci://* ]] || common+=(--version "$VERSION")
for values in "$@"; do common+=(--values "$values"); done

# burn prints how fast the budgets burn. It fails if Prometheus does not answer, or has no value.
burn() {
  local header=()
  # The token comes from a file descriptor, not from the command line.
  [ -z "${PROMETHEUS_TOKEN:-}" ] || header=(--header @/dev/fd/3)
  curl --silent --show-error --fail --max-time 10 "${header[@]}" --data-urlencode "query=$BURN_QUERY" \
    "$PROMETHEUS_URL/api/v1/query" 3<<<"Authorization: Bearer ${PROMETHEUS_TOKEN:-}" |
    jq -er '.data.result | if length == 1 then .[0].value[1] | tonumber else error("the query has not one value") end'
}

# watch SECONDS returns 1 if the budgets burn too fast twice in a row, or Prometheus has no answer three times in a row.
watch() {
  local end=$((SECONDS + $1)) hot=0 silent=0 value
  while true; do
    if value=$(burn); then
      silent=0
      if jq -en --argjson v "$value" --argjson l "$limit" '$v > $l' >/dev/null; then hot=$((hot + 1)); else hot=0; fi
      echo "deploy.sh: budgets burn $value times too fast (limit $limit)"
    else
      silent=$((silent + 1))
    fi
    [ "$hot" -lt 2 ] || { echo "deploy.sh: too fast" >&2 && return 1; }
    [ "$silent" -lt 3 ] || { echo "deploy.sh: Prometheus does not answer" >&2 && return 1; }
    # The last answer must be a good one.
    [ "$SECONDS" -lt "$end" ] || [ $((hot + silent)) -gt 0 ] || return 0
    sleep "$poll"
  done
}

canary=
cleanup() {
  [ -z "$canary" ] || helm uninstall souk-canary --namespace "$namespace" --wait --timeout 3m || true
}
trap cleanup EXIT

last=$(helm history souk --namespace "$namespace" --output json 2>/dev/null |
  jq -r '[.[] | select(.status == "deployed")] | last | .revision // empty') || last=
if [ -n "$last" ]; then
  value=$(burn) || { echo "deploy.sh: nothing is deployed while the burn rate is unknown" >&2 && exit 1; }
  if jq -en --argjson v "$value" --argjson l "$limit" '$v > $l' >/dev/null; then
    echo "deploy.sh: the budgets burn $value times too fast already: nothing is deployed" >&2
    exit 1
  fi
  canary=1
  helm upgrade --install souk-canary "$CHART" "${common[@]}" --values "$here/canary.yaml" --timeout "$timeout"
  watch "${CANARY_SECONDS:-300}" || { echo "deploy.sh: the canary of $VERSION goes; souk stays as it is" >&2 && exit 1; }
fi

helm upgrade --install souk "$CHART" "${common[@]}" --timeout "$timeout"
cleanup
canary=
if ! watch "${WATCH_SECONDS:-300}"; then
  [ -n "$last" ] || { echo "deploy.sh: this is the first release: there is nothing to go back to" >&2 && exit 1; }
  helm rollback souk "$last" --namespace "$namespace" --wait --timeout 10m
  echo "deploy.sh: souk is back at revision $last" >&2
  exit 1
fi
echo "deploy.sh: $VERSION is deployed"
