#!/usr/bin/env bash
# Builds OpenTofu from the Go module proxy (about 12 minutes of a processor, once), and formats, validates and tests what
# needs no provider: infra/terraform/values. The AWS provider is not needed, and no account.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^\tgithub.com\/opentofu\/opentofu v\([0-9.]*\).*/\1/p' tests/infra/tofu/go.mod)
tofu=$PWD/.cache/ops/bin/tofu-$version
if [ ! -x "$tofu" ]; then
  echo "building OpenTofu $version" >&2
  mkdir -p "$(dirname "$tofu")"
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 10 go -C tests/infra/tofu build -trimpath \
    -ldflags "-s -w -X github.com/opentofu/opentofu/version.dev=no" -o "$tofu.$$" github.com/opentofu/opentofu/cmd/tofu
  mv "$tofu.$$" "$tofu"
fi
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

"$tofu" fmt -check -recursive infra/terraform
echo "fmt: ok"

modules=0
for dir in infra/terraform/values/*/; do
  # The modules are copied, so that nothing is written into the repository.
  work=$(mktemp -d)
  cp -r "$dir." "$work"
  "$tofu" -chdir="$work" init -backend=false -input=false -no-color >/dev/null
  "$tofu" -chdir="$work" validate -no-color
  "$tofu" -chdir="$work" test -no-color
  rm -rf "$work"
  modules=$((modules + 1))
done
[ "$modules" -ge 4 ] || {
  echo "terraform: only $modules modules were found" >&2
  exit 1
}
echo "terraform: $modules modules without a provider are valid, and their tests pass"
infra/terraform/databases_test.sh
echo "not checked here: the modules with resources, beyond infra/terraform/check.sh. The AWS provider can't be installed here"
