#!/usr/bin/env bash
# Lints proto/ and looks for changes of it that break clients, against the newest commit before HEAD's state that
# changed proto/ (or $1, any commit). Needs npx, or buf in $BUF.
set -euo pipefail
cd "$(dirname "$0")/.."

buf=${BUF:-npx --yes @bufbuild/buf@1.75.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./tools/generate -image "$work/now.binpb"
$buf lint "$work/now.binpb"
echo "buf lint: ok"

# What the working tree holds is compared with the last commit that changed proto/; when that commit is what the
# working tree holds, with the one before it.
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
