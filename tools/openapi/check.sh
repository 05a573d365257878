#!/usr/bin/env bash
# Checks gen/openapi/souk.json with Spectral and Redocly (no error, no warning), and compares the files of /docs with their
# npm package. `make api` calls it.
set -euo pipefail
cd "$(dirname "$0")"
document=../../gen/openapi/souk.json
viewer=../../apps/gateway/internal/rest/docs/viewer

if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
bin=$PWD/node_modules/.bin

case ${1:-} in
'') ;;
--update-viewer)
  mkdir -p "$viewer"
  cp node_modules/swagger-ui-dist/{swagger-ui-bundle.js,swagger-ui-bundle.js.LICENSE.txt,swagger-ui.css,LICENSE,NOTICE} "$viewer"
  ;;
*)
  echo "usage: tools/openapi/check.sh [--update-viewer]" >&2
  exit 2
  ;;
esac

for file in "$viewer"/*; do
  cmp "$file" "node_modules/swagger-ui-dist/$(basename "$file")" || {
    echo "api: the files of /docs are not those of swagger-ui-dist: run tools/openapi/check.sh --update-viewer" >&2
    exit 1
  }
done
echo "docs viewer: as in its npm package"

"$bin/spectral" lint --fail-severity=hint --ruleset .spectral.yaml "$document"
echo "spectral: done"

# Redocly ends well with warnings, so its report is read.
"$bin/redocly" lint --config redocly.yaml --format=json "$document" >node_modules/.redocly.json 2>/dev/null || true
node -e '
  const { totals, problems } = JSON.parse(require("fs").readFileSync("node_modules/.redocly.json", "utf8"));
  for (const p of problems) console.error(p.severity, p.ruleId, p.location?.[0]?.pointer ?? "", p.message);
  process.exit(totals.errors + totals.warnings > 0 ? 1 : 0);'
echo "redocly: done"
