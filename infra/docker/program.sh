#!/usr/bin/env bash
# Builds what the image holds: the static program, the certificate authorities of this machine, and an empty folder for
# data. The same source, Go and arguments give the same bytes.
#
# usage: program.sh FOLDER
# environment: TARGETOS, TARGETARCH (default: this machine's), VERSION, REVISION, DATE (as in souk --version)
set -euo pipefail
to=$(realpath -m "$1")
cd "$(dirname "$0")/../.."

authorities=/etc/ssl/certs/ca-certificates.crt
[ -s "$authorities" ] || {
  echo "program.sh: $authorities is missing: install ca-certificates" >&2
  exit 1
}
mkdir -p "$to/etc/ssl/certs" "$to/data"
GOOS=${TARGETOS:-$(go env GOOS)} GOARCH=${TARGETARCH:-$(go env GOARCH)} CGO_ENABLED=0 \
  go build -trimpath -buildvcs=false -o "$to/souk" -ldflags "-s -w \
    -X souk/pkg/build.version=${VERSION:-devel} -X souk/pkg/build.commit=${REVISION:-} -X souk/pkg/build.date=${DATE:-}" \
  ./cmd/souk
install -m 0644 "$authorities" "$to/etc/ssl/certs/ca-certificates.crt"
chmod 0755 "$to" "$to/etc" "$to/etc/ssl" "$to/etc/ssl/certs" "$to/souk" "$to/data"
