#!/usr/bin/env bash
# Prints the services of the registry as a JSON list, for the matrix of images.
set -euo pipefail
cd "$(dirname "$0")/../.."
sed -n 's/^\t*Name: "\([a-z]*\)".*/\1/p' gen/go/souk/services/services.go | jq -Rcs 'split("\n") | map(select(. != ""))' |
  jq -ce 'if length < 10 then error("the registry has only \(length) services") else . end'
