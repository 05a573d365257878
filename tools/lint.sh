#!/usr/bin/env bash
# Runs the static checks: formatting, golangci-lint (which includes go vet), the rules of tests/arch, shell scripts,
# and the contracts. Called by `make lint`. Builds its tools into .cache/bin, once.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
fail() {
  echo "lint: $1" >&2
  failed=1
}

mapfile -d '' scripts < <(git ls-files -z '*.sh' .ci/run)
for script in "${scripts[@]}"; do
  bash -n "$script" || fail "$script: syntax error"
done
tools/deps.sh lint || true # it says what to install; without apt-get, shellcheck is optional
if command -v shellcheck >/dev/null 2>&1; then
  shellcheck -x -P SCRIPTDIR -P . "${scripts[@]}" || fail "shellcheck found something"
  echo "shell scripts: done"
else
  echo "shell scripts: their syntax only, because shellcheck was not found" >&2
fi

unformatted=$(tools/golangci.sh fmt --diff) || fail "not formatted (run make format)"$'\n'"$unformatted"
echo "format: done"
tools/golangci.sh run ./... || fail "golangci-lint found something"
echo "golangci-lint: done"

while IFS= read -r -d '' mod; do
  dir=$(dirname "$mod")
  go -C "$dir" list -mod=readonly -m all >/dev/null || fail "$mod does not fit the module's (go -C $dir mod tidy)"
done < <(find tests tools -mindepth 2 -name go.mod -print0)
echo "modules: done"

go tool preprofile -i cmd/souk/default.pgo -o /dev/null || fail "the compiler cannot read cmd/souk/default.pgo (make profile)"

go test ./tests/arch || fail "a rule of tests/arch is broken"

if command -v npx >/dev/null 2>&1 || [ -n "${BUF:-}" ]; then
  tools/buflint.sh || fail "the contracts have a problem"
else
  echo "buf lint and buf breaking: skipped, because npx was not found (install Node.js, or set \$BUF)" >&2
fi

exit "$failed"
