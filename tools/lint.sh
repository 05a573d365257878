#!/usr/bin/env bash
# Runs the static checks: formatting, golangci-lint (which includes go vet), the rules of tests/arch, shell scripts,
# and the contracts. Called by `make lint`. Builds its tools into .cache/bin, once.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.15.0
bin=.cache/bin/golangci-lint
failed=0
fail() {
  echo "lint: $1" >&2
  failed=1
}

unformatted=$(find . -name '*.go' -not -path './.cache/*' -not -path './.souk/*' -print0 | xargs -0 gofmt -l)
[ -z "$unformatted" ] || fail "not formatted (run gofmt -w):"$'\n'"$unformatted"
echo "gofmt: done"

while IFS= read -r -d '' script; do
  bash -n "$script" || fail "$script: syntax error"
done < <(find tools .ci -type f \( -name '*.sh' -o -path '.ci/run' \) -print0)
echo "shell scripts: done"

if command -v golangci-lint >/dev/null 2>&1 && golangci-lint version 2>/dev/null | grep -qF "version $version "; then
  bin=golangci-lint
elif ! "$bin" version 2>/dev/null | grep -qF "version $version "; then
  echo "building golangci-lint $version (about two minutes, only once)"
  GOBIN="$PWD/.cache/bin" GOFLAGS= go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$version"
fi
GOLANGCI_LINT_CACHE="$PWD/.cache/golangci-lint" "$bin" run ./... || fail "golangci-lint found something"
echo "golangci-lint: done"

go tool preprofile -i cmd/souk/default.pgo -o /dev/null || fail "the compiler cannot read cmd/souk/default.pgo (make profile)"

go test ./tests/arch || fail "a rule of tests/arch is broken"

if command -v npx >/dev/null 2>&1 || [ -n "${BUF:-}" ]; then
  tools/buflint.sh || fail "the contracts have a problem"
else
  echo "buf lint and buf breaking: skipped, because npx was not found (install Node.js, or set \$BUF)" >&2
fi

exit "$failed"
