#!/usr/bin/env bash
# Signs an image by its digest, each of its architectures included, without a key: cosign gets a certificate for this
# workflow. Then it attests the SBOM that BuildKit made of each architecture.
#
# usage: sign.sh IMAGE@DIGEST
set -euo pipefail
image=$1
[[ $image =~ @sha256:[0-9a-f]{64}$ ]] || {
  echo "sign.sh: $image has no digest: a tag may move" >&2
  exit 2
}
cosign sign --yes --recursive "$image"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
docker buildx imagetools inspect "$image" --format '{{json .SBOM}}' >"$work/sboms.json"
docker buildx imagetools inspect "$image" --raw >"$work/index.json"
count=0
for platform in $(jq -r 'keys[]' "$work/sboms.json"); do
  digest=$(jq -er --arg os "${platform%%/*}" --arg arch "${platform#*/}" \
    '[.manifests[] | select(.platform.os == $os and .platform.architecture == $arch)] | first | .digest' "$work/index.json")
  jq -e --arg p "$platform" '.[$p].SPDX' "$work/sboms.json" >"$work/sbom.json"
  cosign attest --yes --type spdxjson --predicate "$work/sbom.json" "${image%%@*}@$digest"
  count=$((count + 1))
done
[ "$count" -gt 0 ] || {
  echo "sign.sh: $image has no SBOM" >&2
  exit 1
}
echo "sign.sh: $image is signed, with the SBOMs of $count architectures"
