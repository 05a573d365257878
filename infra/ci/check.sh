#!/usr/bin/env bash
# Checks the workflows: actionlint (with shellcheck, if it is installed), pins, permissions, timeouts, and that what they call
# exists. Then the script that deploys. Half a minute when warm; actionlint is built at the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^\tgithub.com\/rhysd\/actionlint v\([0-9.]*\).*/\1/p' tests/infra/actionlint/go.mod)
actionlint=$PWD/.cache/ops/bin/actionlint-$version
if [ ! -x "$actionlint" ]; then
  mkdir -p "$(dirname "$actionlint")"
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 10 go -C tests/infra/actionlint build -trimpath -o "$actionlint.$$" \
    github.com/rhysd/actionlint/cmd/actionlint
  mv "$actionlint.$$" "$actionlint"
fi
"$actionlint" -color=false
echo "workflows: actionlint $version finds nothing"
node infra/ci/check.js "$PWD"
infra/ci/services.sh >/dev/null
infra/ci/deploy_test.sh
command -v shellcheck >/dev/null 2>&1 || echo "workflows: their scripts are not checked: shellcheck is missing"
echo "workflows: not checked here: the digests of actions and images, and GitHub itself"
