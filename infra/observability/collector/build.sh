#!/usr/bin/env bash
# Builds the collector of builder.yaml into .cache/ops/bin, once for each version of that file, and prints its path. It takes
# minutes when nothing is cached.
set -euo pipefail
cd "$(dirname "$0")"
cache=$(cd ../../.. && pwd)/.cache/ops
version=$(awk '$1 == "version:" {print $2; exit}' builder.yaml)
sum=$(sha256sum builder.yaml | cut -c1-12)
binary=$cache/bin/otelcol-souk-$version-$sum
if [ ! -x "$binary" ]; then
  mkdir -p "$cache/bin" "$cache/otelcol"
  export GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0
  GOBIN=$cache/bin go install "go.opentelemetry.io/collector/cmd/builder@v$version" >&2
  sed "s|^  output_path:.*|  output_path: $cache/otelcol/$sum|" builder.yaml >"$cache/otelcol/$sum.yaml"
  "$cache/bin/builder" --config "$cache/otelcol/$sum.yaml" >&2
  mv "$cache/otelcol/$sum/otelcol-souk" "$binary.new"
  mv "$binary.new" "$binary"
fi
echo "$binary"
