#!/usr/bin/env bash
# Builds the final stage of the image with buildah, from a program that is built here, and proves what the Dockerfile
# promises: two builds are the same bytes, and the container runs with a read-only root, without capabilities, as a user
# other than root, in 128 MB. Needs Debian; installs buildah and podman. About a minute when warm.
#
# usage: build.sh [--only-build]   builds the image $IMAGE_SOUK (default localhost/souk:dev) and proves nothing
set -euo pipefail
cd "$(dirname "$0")/../.."
. infra/docker/oci.sh
image=${IMAGE_SOUK:-localhost/souk:dev}
export GOFLAGS="${GOFLAGS:-} -pgo=off" # with a profile everything would be compiled a second time
# The version of Go that the Dockerfile's own stage has: it is downloaded if this machine has another one.
GOTOOLCHAIN=go$(sed -n 's/^ARG GO_VERSION=//p' infra/docker/Dockerfile)
export GOTOOLCHAIN

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

oci_tools buildah podman runc
VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}
REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || true)}
# The date of the commit, not of the build: then two builds are the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
DATE=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export VERSION REVISION DATE
arch=$(go env GOARCH)

build() { # build TAG SOURCE FORMAT
  local program=$2/bin/image/linux_$arch
  rm -rf "$program"
  TARGETOS=linux TARGETARCH=$arch nice -n 10 "$2/infra/docker/program.sh" "$program"
  oci_build --no-cache --format "$3" --timestamp "$SOURCE_DATE_EPOCH" --build-arg PROGRAM=prebuilt --build-arg TARGETOS=linux \
    --build-arg "TARGETARCH=$arch" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" \
    --build-arg "DATE=$DATE" -f infra/docker/Dockerfile -t "$1" "$2" >"$oci/build.log" 2>&1 || {
    cat "$oci/build.log" >&2
    return 1
  }
}

# Docker's format has health checks. Its configuration has a random host name, too: digests are compared in OCI's.
build "$image" "$PWD" docker
say "built $image: $(podman image inspect "$image" --format '{{.Size}}') bytes, $(podman image inspect "$image" --format '{{.Digest}}')"
[ "${1:-}" != --only-build ] || exit 0

# The second build is of a copy in another folder.
first=localhost/souk-first:dev second=localhost/souk-second:dev
build "$first" "$PWD" oci
copy=$oci/tmp/copy
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$copy"
build "$second" "$copy" oci
rm -rf "$copy"
digests=$(podman image inspect "$first" "$second" --format '{{.Digest}}')
podman image rm "$first" "$second" >/dev/null
[ "$(sort -u <<<"$digests" | wc -l)" -eq 1 ] || {
  printf 'two builds differ:\n%s\n' "$digests" >&2
  exit 1
}
say "a build of a copy of the source, in another folder, has the same digest: $(head -n 1 <<<"$digests")"

# What is in it.
mount=$(podman image mount "$image")
content=$(cd "$mount" && find . -mindepth 1 -printf '%y %m %U:%G %P\n' | LC_ALL=C sort -k 4)
podman image unmount "$image" >/dev/null
want="d 755 65532:65532 data
d 755 0:0 etc
d 755 0:0 etc/ssl
d 755 0:0 etc/ssl/certs
f 644 0:0 etc/ssl/certs/ca-certificates.crt
f 755 0:0 souk"
[ "$content" = "$want" ] || {
  diff <(echo "$want") <(echo "$content") >&2 || true
  echo "the image holds something else than it should" >&2
  exit 1
}
say "it holds the program, certificate authorities and an empty folder for data, and no shell"

container=souk-image-check-$$
trap 'podman rm -f -t 0 "$container" >/dev/null 2>&1 || true' EXIT
restricted=(--read-only --read-only-tmpfs=false --cap-drop=all --security-opt no-new-privileges --memory 128m --pids-limit 64)

version=$(podman run --rm --network none "${restricted[@]}" "$image" --version)
[[ "$version" == "souk $VERSION (commit $REVISION, $DATE, go"* ]] || {
  echo "souk --version in the image says: $version" >&2
  exit 1
}
say "$version"

# The health check's own process, without infrastructure: natsauth runs, and is not ready while NATS is away.
seed=$(openssl rand -base64 32)
config=$oci/tmp/image-check.yaml
(umask 077 && printf 'identity: {seed: "%s"}\nrpc: {transport: nats}\nnats: {url: "nats://127.0.0.1:4222"}\n' "$seed" >"$config")
chown 65532 "$config"
podman run -d --name "$container" --network none "${restricted[@]}" -v "$config:/souk.yaml:ro" -e SOUK_CONFIG=/souk.yaml \
  -e SOUK_TARGET=natsauth "$image" >/dev/null
live=
for _ in $(seq 50); do
  if podman exec "$container" /souk health http://127.0.0.1:9090/health/live 2>/dev/null; then
    live=1
    break
  fi
  sleep 0.2
done
[ -n "$live" ] || {
  podman logs "$container" >&2
  echo "the container does not answer /health/live" >&2
  exit 1
}
say "the container answers /health/live: read-only root, no capabilities, 128 MB, user $(podman exec "$container" /souk --version >/dev/null && podman inspect "$container" --format '{{.Config.User}}')"
pid=$(podman inspect "$container" --format '{{.State.Pid}}')
grep -qx $'Uid:\t65532\t65532\t65532\t65532' "/proc/$pid/status"
grep -qx $'CapEff:\t0000000000000000' "/proc/$pid/status"
grep -qx $'CapBnd:\t0000000000000000' "/proc/$pid/status"
grep -qx $'NoNewPrivs:\t1' "/proc/$pid/status"
say "its process has user 65532, no capabilities in any set, and no_new_privs"
if podman exec "$container" /souk health 2>"$oci/tmp/health"; then
  echo "the container is ready, although it has no NATS" >&2
  exit 1
fi
grep -q '503' "$oci/tmp/health" || {
  cat "$oci/tmp/health" >&2
  exit 1
}
podman healthcheck run "$container" >/dev/null 2>&1 && {
  echo "the image's health check passes, although the container is not ready" >&2
  exit 1
}
say "it is not ready without NATS, and the health check says so: $(cut -c 1-100 "$oci/tmp/health")"
podman stop -t 20 "$container" >/dev/null
[ "$(podman inspect "$container" --format '{{.State.ExitCode}}')" = 0 ] || {
  podman logs "$container" >&2
  echo "SIGTERM does not end the process with status 0" >&2
  exit 1
}
say "SIGTERM ends it with status 0"
