#!/usr/bin/env bash
# Lints proto/ and checks that its changes do not break clients. It compares the working tree with commit $1, by default
# the newest commit that changed proto/ and differs from the working tree. Needs npx, or buf in $BUF.
set -euo pipefail
cd "$(dirname "$0")/.."

buf=${BUF:-npx --yes @bufbuild/buf@1.75.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./tools/generate -image "$work/now.binpb"
$buf lint "$work/now.binpb"
echo "buf lint: ok"

# The working tree is compared with the last commit that changed proto/. If the working tree equals that commit, it is
# compared with the one before.
base=${1:-}
if [ -z "$base" ]; then
  commits=$(git log --format=%H -2 HEAD -- proto 2>/dev/null || true)
  base=$(head -n 1 <<<"$commits")
  if [ -n "$base" ] && [ -z "$(git status --porcelain -- proto)" ] && git diff --quiet "$base" -- proto; then
    base=$(sed -n 2p <<<"$commits")
  fi
fi
if [ -z "$base" ]; then
  echo "buf breaking: no earlier commit of proto/ to compare with"
  exit 0
fi
mkdir "$work/before"
git archive "$base" proto | tar -x -C "$work/before"
go run ./tools/generate -proto "$work/before/proto" -image "$work/before.binpb"
$buf breaking "$work/now.binpb" --against "$work/before.binpb"
echo "buf breaking: ok against $(git rev-parse --short "$base")"
