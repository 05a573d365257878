#!/usr/bin/env bash
# Checks the Dockerfile with BuildKit's own parser and rules, as `docker build --check` does, and what BuildKit has no
# rule for. Needs Go alone; seconds when warm, two minutes when BuildKit has to be built.
set -euo pipefail
cd "$(dirname "$0")/../.."
dockerfile=infra/docker/Dockerfile

bin=$PWD/.cache/ops/bin/dockercheck-$(cat tests/infra/dockercheck/{go.mod,main.go} | sha256sum | cut -c 1-12)
if [ ! -x "$bin" ]; then
  mkdir -p "$(dirname "$bin")"
  CGO_ENABLED=0 GOFLAGS=-pgo=off nice -n 10 go -C tests/infra/dockercheck build -trimpath -o "$bin.$$" .
  mv "$bin.$$" "$bin"
fi
"$bin" "$dockerfile"

failed=0
require() { # require WHAT PATTERN: the final stage has a line that matches
  sed -n '/^FROM scratch$/,$p' "$dockerfile" | grep -qE "$2" || {
    echo "$dockerfile: the final stage has no $1" >&2
    failed=1
  }
}
[ "$(grep -c '^FROM scratch$' "$dockerfile")" -eq 1 ] || {
  echo "$dockerfile: the final stage is not FROM scratch" >&2
  failed=1
}
require 'numeric user other than root' '^USER [1-9][0-9]*:[1-9][0-9]*$'
require 'ENTRYPOINT in exec form' '^ENTRYPOINT \["/souk"\]$'
require 'health check in exec form' '^HEALTHCHECK .* CMD \["/souk", "health"\]$'
require 'label with the version' 'org.opencontainers.image.version='
if sed -n '/^FROM scratch$/,$p' "$dockerfile" | grep -qE '^(RUN|ADD) '; then
  echo "$dockerfile: the final stage runs or adds something: it has no shell, and COPY is enough" >&2
  failed=1
fi
want=go$(sed -n 's/^ARG GO_VERSION=//p' "$dockerfile")
[ "$(printf '%s\n%s\n' "go$(sed -n 's/^go //p' go.mod)" "$want" | sort -V | tail -n 1)" = "$want" ] || {
  echo "$dockerfile: $want is older than go.mod asks for" >&2
  failed=1
}
[ "$failed" -eq 0 ] || exit 1
echo "$dockerfile: final stage FROM scratch, non-root, exec form, labels; $want"
echo "not checked here: the stage \"build\", whose base image can't be pulled without a registry (the pipeline builds it)"
