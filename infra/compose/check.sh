#!/usr/bin/env bash
# Checks the Compose files without an engine: Compose v2's own loader reads them, alone and with each override; every
# service of the registry is there, with a configuration that souk accepts; containers are restricted. Seconds when warm.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$PWD/.cache/ops/bin/composecheck-$(cat tests/infra/composecheck/{go.mod,main.go} | sha256sum | cut -c 1-12)
if [ ! -x "$bin" ]; then
  mkdir -p "$(dirname "$bin")"
  CGO_ENABLED=0 GOFLAGS=-pgo=off nice -n 10 go -C tests/infra/composecheck build -trimpath -o "$bin.$$" .
  mv "$bin.$$" "$bin"
fi
(
  cd infra/compose
  "$bin" compose.yaml
  "$bin" compose.yaml compose.nats3.yaml
  "$bin" compose.yaml compose.zitadel.yaml
)
# docker-compose 1.29, if it is there: it must read the files, too.
if command -v docker-compose >/dev/null 2>&1 && docker-compose version --short 2>/dev/null | grep -q '^1\.'; then
  for override in nats3 zitadel; do
    docker-compose -f infra/compose/compose.yaml -f "infra/compose/compose.$override.yaml" config -q
  done
  echo "docker-compose $(docker-compose version --short) reads them"
fi

GOFLAGS="${GOFLAGS:-} -pgo=off" nice -n 10 go test -count=1 -run 'Compose|DeploymentsRunTheNATS' ./cmd/souk
echo "every service of the registry, its configuration and its secrets; restrictions of containers; NATS's version"
echo "not checked here: that the tags of images exist (no registry is asked), and Zitadel and the observability stack running"
