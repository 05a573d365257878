#!/usr/bin/env bash
# Runs compose.yaml here, with Debian's podman and docker-compose and with stand-ins for the images that would come from
# a registry (standin/build.sh), and breaks it: a sale, NATS cut off, PostgreSQL paused, services killed. Everything must
# recover by itself, and souk verify must be clean. Prints each step with its time. Some minutes when warm.
#
# Run as root on Debian. It uses loopback ports 8080, 8090 and 8025, and leaves nothing but the cache of images.
#
# usage: drill.sh [--keep]   --keep: leave it running, for a look
# environment: IMAGES=keep uses the images of the last run
set -euo pipefail
cd "$(dirname "$0")/../.."
. infra/docker/oci.sh
. infra/compose/standin/build.sh

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
oci_tools buildah podman runc netavark aardvark-dns iptables docker-compose busybox-static jq curl

export COMPOSE_PROJECT_NAME=souk-drill COMPOSE_HTTP_TIMEOUT=300 DOCKER_HOST=unix://$oci/drill.sock IMAGE_SOUK=docker.io/library/souk:dev
compose=(docker-compose --project-directory infra/compose -f infra/compose/compose.yaml)
name() { echo "souk-drill_$1_1"; }

service='' ticker=''
finish() {
  local code=$?
  trap - EXIT
  if [ "$code" -ne 0 ]; then
    podman ps -a --format '{{.Names}} {{.Status}}' >&2 || true
    for s in $(podman ps -a --format '{{.Names}}' | grep '^souk-drill_'); do
      echo "--- $s" >&2
      podman logs --tail 5 "$s" >&2 2>&1 || true
    done
  fi
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
  if [ "${keep:-}" = 1 ]; then
    echo "left running; to end it: DOCKER_HOST=$DOCKER_HOST docker-compose -p souk-drill down -v, and kill $service"
  else
    "${compose[@]}" down -v --remove-orphans -t 5 >/dev/null 2>&1 || true
    # podman refuses to remove a container while another one shares its network: auth goes before oidc.
    for _ in 1 2; do podman ps -aq --filter 'name=^souk-drill_' | xargs -r podman rm -f -t 0 >/dev/null 2>&1 || true; done
    podman volume ls -q --filter 'name=^souk-drill_' | xargs -r podman volume rm -f >/dev/null 2>&1 || true
    podman network rm -f souk-drill_souk souk-drill_data >/dev/null 2>&1 || true
    [ -z "$service" ] || kill "$service" 2>/dev/null || true
  fi
  exit "$code"
}
keep=''
[ "${1:-}" != --keep ] || keep=1
trap finish EXIT

if [ "${IMAGES:-}" != keep ]; then
  infra/docker/build.sh --only-build
  standins
fi
for image in "$IMAGE_SOUK" "$(image_of postgres)" "$(image_of redis)" "$(image_of nats)" "$(image_of mail)"; do
  podman image exists "$image"
done
say "images are there"

rm -f "$oci/drill.sock"
podman system service --time 0 "$DOCKER_HOST" >"$oci/service.log" 2>&1 &
service=$!
for _ in $(seq 100); do
  [ ! -S "$oci/drill.sock" ] || break
  sleep 0.2
done

# Podman's health checks are systemd timers. Where there is no systemd, this runs those of containers that are not
# healthy yet.
(
  while sleep 5; do
    podman ps --format '{{.Names}} {{.Status}}' 2>/dev/null | grep -E '\((starting|unhealthy)\)' | while read -r c _; do
      podman healthcheck run "$c" >/dev/null 2>&1 </dev/null || true
    done || true # none is unhealthy
  done
) &
ticker=$!

# Secrets: as an operator makes them, with the program of the image.
SOUK="bin/image/linux_$(go env GOARCH)/souk"
SOUK=$(realpath "$SOUK") infra/compose/init.sh >/dev/null
say "secrets are there"

up() {
  # docker-compose gives up on a service that a slow machine starts slowly; the next attempt continues.
  local attempt
  for attempt in 1 2 3; do
    if "${compose[@]}" up -d >"$oci/up.log" 2>&1; then return 0; fi
    say "up, attempt $attempt: $(tail -n 1 "$oci/up.log")"
  done
  cat "$oci/up.log" >&2
  return 1
}
up
until curl -fsS -m 5 http://127.0.0.1:8080/health/ready >/dev/null 2>&1; do
  [ "$SECONDS" -lt "${DRILL_PATIENCE:-1500}" ] || {
    echo "the gateway is not ready" >&2
    exit 1
  }
  sleep 1
done
say "all services run, and the gateway is ready: $(podman ps -q | wc -l) containers"

sale() { infra/compose/sale.sh "$@"; }
# recovers WHAT: sells until a sale succeeds, and prints how long that took.
recovers() {
  local from=$SECONDS
  until sale buy >"$oci/sale.log" 2>&1; do
    [ $((SECONDS - from)) -lt 180 ] || {
      cat "$oci/sale.log" >&2
      echo "no sale within 180 s after $1" >&2
      exit 1
    }
    sleep 1
  done
  say "$1: a sale succeeds after $((SECONDS - from)) s: $(tail -n 1 "$oci/sale.log")"
}
# refused WHAT: a sale must fail while something is broken; otherwise nothing was broken.
refused() {
  if timeout 20 infra/compose/sale.sh buy >"$oci/sale.log" 2>&1; then
    echo "a sale succeeded although $1" >&2
    exit 1
  fi
  local reason
  reason=$(tail -n 1 "$oci/sale.log" | cut -c 1-110)
  say "$1: a sale is refused: ${reason:-no answer within 20 s}"
}
verify() {
  "${compose[@]}" run --rm -T operator verify --settle 5s >"$oci/verify.log" 2>&1 </dev/null || {
    cat "$oci/verify.log" >&2
    echo "souk verify is not clean" >&2
    exit 1
  }
  say "souk verify is clean: $(grep -c '^ok ' "$oci/verify.log") invariants hold"
}

sale shop >/dev/null
say "a sale over the API: $(sale buy)"
say "and its mail: $(sale mail)"
verify

network=$(podman network ls --format '{{.Name}}' | grep -x souk-drill_souk)
podman network disconnect -f "$network" "$(name nats)"
refused "NATS is cut off"
podman network connect --alias nats "$network" "$(name nats)"
recovers "NATS is back"

podman pause "$(name postgres)" >/dev/null
refused "PostgreSQL is paused"
podman unpause "$(name postgres)" >/dev/null
recovers "PostgreSQL goes on"

# A process that dies, not a container that is stopped: then the restart policy applies.
for s in order natsauth gateway payment; do
  kill -9 "$(podman inspect "$(name "$s")" --format '{{.State.Pid}}')"
  recovers "$s was killed"
done
kill -9 "$(podman inspect "$(name redis)" --format '{{.State.Pid}}')"
recovers "Redis was killed"
kill -9 "$(podman inspect "$(name postgres)" --format '{{.State.Pid}}')"
recovers "PostgreSQL was killed"
say "the mail about the newest order: $(sale mail)"
verify
memory=$(podman stats --no-stream --format '{{.Name}} {{.MemUsage}}' | sed 's/souk-drill_//; s/_1 / /; s, / .*,,' | sort | tr '\n' ';')
say "memory: $memory"
echo "drill: all recovered"
