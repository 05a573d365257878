#!/usr/bin/env bash
# Checks infra/terraform without a provider: every aws_* block against the provider's schema, references, calls of
# modules, encryption, and the format. Seconds when warm; at the first time npm gets the schema (400 MB, half a minute).
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v npm >/dev/null 2>&1 || {
  echo "terraform: npm is missing (tools/deps.sh npm)" >&2
  exit 1
}
lock=tests/infra/tfschema/package-lock.json
npm_dir=$(realpath -m .cache/ops/npm)/tfschema-$(sha256sum "$lock" | cut -c 1-12)
if [ ! -e "$npm_dir/done" ]; then
  rm -rf "$npm_dir"
  mkdir -p "$npm_dir"
  cp tests/infra/tfschema/package.json "$lock" "$npm_dir"
  npm ci --prefix "$npm_dir" --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error >/dev/null
  touch "$npm_dir/done"
fi
NODE_PATH=$npm_dir/node_modules node tests/infra/tfschema/check.js "$PWD"

tofu=$PWD/.cache/ops/bin/tofu-1.12.6
if [ -x "$tofu" ]; then
  "$tofu" fmt -check -recursive infra/terraform || {
    echo "terraform: these files are not formatted: tofu fmt -recursive infra/terraform" >&2
    exit 1
  }
  echo "terraform: formatted as $("$tofu" version | head -n 1) does"
else
  echo "terraform: the format is not checked: infra/terraform/drill.sh builds OpenTofu"
fi
echo "terraform: not checked here: arguments' values, statements of the firewall, plan and apply (README.md says why)"
