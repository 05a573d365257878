#!/usr/bin/env bash
# Runs golangci-lint at souk's version with the given arguments. Builds it into .cache/bin, once, if the machine lacks it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.15.0
bin=.cache/bin/golangci-lint
if command -v golangci-lint >/dev/null 2>&1 && golangci-lint version 2>/dev/null | grep -qF "version $version "; then
  bin=golangci-lint
elif ! "$bin" version 2>/dev/null | grep -qF "version $version "; then
  echo "building golangci-lint $version (about two minutes, only once)" >&2
  GOBIN="$PWD/.cache/bin" GOFLAGS='' go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$version"
fi
GOLANGCI_LINT_CACHE="$PWD/.cache/golangci-lint" exec "$bin" "$@"
