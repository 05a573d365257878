#!/usr/bin/env bash
# Generates a service of each shape in a copy of the repository, and builds and tests it, as docs/tutorials/add-a-service.md
# says.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z | tar -c --null -T - | tar -x -C "$work"
cd "$work"
git init -q && git add -A && git -c user.name=ci -c user.email=ci@localhost commit -qm base
go run ./tools/servicegen -name wishlist -shape storage -entities list,item
go run ./tools/servicegen -name loyalty -shape rules -entities account
make generate
GOFLAGS="${GOFLAGS:-} -pgo=off" go run ./tools/testenv -- \
  go test -timeout 15m ./apps/wishlist/... ./apps/loyalty/... ./cmd/souk ./tests/arch
