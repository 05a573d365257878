#!/usr/bin/env bash
# Verifies that the images of all services and the chart of a version were signed by this repository's workflow for images:
# for production, in a run of main or of a tag.
#
# usage: verify.sh VERSION staging|production      environment: REGISTRY, GITHUB_REPOSITORY, GITHUB_REPOSITORY_OWNER
set -euo pipefail
version=$1
case ${2:-} in
staging) refs='(heads/(develop|main)|tags/v[0-9.]+)' ;;
production) refs='(heads/main|tags/v[0-9.]+)' ;;
*)
  echo "usage: verify.sh VERSION staging|production" >&2
  exit 2
  ;;
esac
: "${REGISTRY:?}" "${GITHUB_REPOSITORY:?}" "${GITHUB_REPOSITORY_OWNER:?}"
here=$(cd "$(dirname "$0")" && pwd)
# A dot in a name stands for itself.
repository=${GITHUB_REPOSITORY//./\\.}
signed() {
  cosign verify --certificate-oidc-issuer https://token.actions.githubusercontent.com \
    --certificate-identity-regexp "^https://github\\.com/$repository/\\.github/workflows/images\\.yaml@refs/$refs\$" \
    "$1" >/dev/null
  echo "verify.sh: $1 is signed"
}
for service in $("$here/services.sh" | jq -r '.[]'); do
  signed "$REGISTRY/${GITHUB_REPOSITORY,,}-$service:$version"
done
signed "$REGISTRY/${GITHUB_REPOSITORY_OWNER,,}/charts/souk:$version"
