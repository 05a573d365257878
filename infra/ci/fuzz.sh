#!/usr/bin/env bash
# Runs every fuzz test for some time, one after the other. usage: fuzz.sh TIME, such as 10m
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:?usage: fuzz.sh TIME}
count=0
while IFS=: read -r file _ line; do
  name=$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' <<<"$line")
  echo "=== $file: $name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$seconds" "./$(dirname "$file")"
  count=$((count + 1))
done < <(git grep -n '^func Fuzz' -- '*_test.go')
[ "$count" -gt 0 ] || {
  echo "fuzz.sh: there is no fuzz test" >&2
  exit 1
}
echo "fuzz.sh: $count fuzz tests ran for $seconds each"
