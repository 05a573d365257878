#!/usr/bin/env bash
# Builds images from this machine's Debian packages, under the names that compose.yaml uses, so that the real file runs
# where no registry is in reach: drill.sh. They stand in for PostgreSQL 17 (here Debian's version), Redis 7.2 (Debian's
# 7.0), NATS (built from the version in go.mod) and Mailpit (a program in the folder mailpit). Source it after
# infra/docker/oci.sh, in the repository's root.
# shellcheck shell=bash disable=SC2154 # $oci is from oci.sh

# image_of SERVICE prints the image of a service in compose.yaml, with the registry that podman adds.
image_of() {
  awk -v service="^  $1:( &[a-z]+)?$" '$0 ~ service {found = 1} found && $1 == "image:" {print $2; exit}' infra/compose/compose.yaml |
    sed -E 's,^([^/]+)$,library/\1,; s,^,docker.io/,'
}

# copy_with_libraries ROOT FILE... copies programs and what they are linked with.
copy_with_libraries() {
  local root=$1 f l
  shift
  for f in "$@"; do
    mkdir -p "$root$(dirname "$f")"
    cp -aL "$f" "$root$f"
    while read -r l; do
      mkdir -p "$root$(dirname "$l")"
      cp -Lu "$l" "$root$l"
    done < <(find -L "$f" -type f \( -perm -u+x -o -name '*.so*' \) -exec ldd {} + 2>/dev/null | grep -oE '/[^ ():]+\.so[^ ():]*' | sort -u)
  done
}

# standin SERVICE UID:GID DATA ENTRYPOINT FILE... builds the image of a service. DATA is the folder of its volume. A FILE
# is copied with its libraries; FROM=TO copies without them.
standin() {
  local service=$1 user=$2 data=$3 entry=$4 root=$oci/tmp/standin f
  shift 4
  rm -rf "$root"
  mkdir -p "$root/root/"{tmp,etc,bin,run} "$root/root$data"
  chmod 1777 "$root/root/tmp"
  printf 'root:x:0:0::/:/bin/sh\n%s:x:%s::%s:/bin/sh\n' "$service" "$user" "$data" >"$root/root/etc/passwd"
  chown "$user" "$root/root$data"
  cp /bin/busybox "$root/root/bin/busybox"
  for f in sh cat cut grep wget id mkdir chmod sleep; do ln -s busybox "$root/root/bin/$f"; done
  for f in "$@"; do
    case $f in
    *=*)
      mkdir -p "$root/root$(dirname "${f#*=}")"
      cp "${f%%=*}" "$root/root${f#*=}"
      ;;
    *) copy_with_libraries "$root/root" "$f" ;;
    esac
  done
  tar -C "$root/root" -cf "$root/root.tar" .
  printf 'FROM scratch\nADD root.tar /\nENV PATH=%s\nENTRYPOINT ["%s"]\n' \
    "/usr/local/bin:/usr/bin:/bin:$(dirname "$(command -v /usr/lib/postgresql/*/bin/postgres)")" "$entry" >"$root/Dockerfile"
  oci_build -q --format docker -t "$(image_of "$service")" "$root" >/dev/null
  echo "stand-in: $(image_of "$service")"
}

standins() {
  local pg tools=$oci/tmp/tools
  pg=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  mkdir -p "$tools"
  CGO_ENABLED=0 GOFLAGS=-pgo=off nice -n 10 go build -trimpath -buildvcs=false -o "$tools/nats-server" github.com/nats-io/nats-server/v2
  CGO_ENABLED=0 GOFLAGS=-pgo=off nice -n 10 go build -trimpath -buildvcs=false -o "$tools/mailpit" ./infra/compose/standin/mailpit
  standin postgres 999:999 /var/lib/postgresql/data /usr/local/bin/entrypoint.sh \
    "$pg/postgres" "$pg/initdb" "$pg/psql" "$pg/pg_isready" /usr/share/zoneinfo/UTC /usr/lib/locale/C.utf8 "${pg%/bin}/lib/"{dict_snowball,plpgsql,pg_trgm,unaccent}.so \
    "$(dirname "$pg" | sed 's,/lib/,/share/,')" \
    infra/compose/standin/postgres.sh=/usr/local/bin/entrypoint.sh
  standin redis 999:1000 /data /usr/bin/env.sh /usr/bin/redis-server /usr/bin/redis-cli \
    infra/compose/standin/exec.sh=/usr/bin/env.sh
  standin nats 0:0 /data /usr/local/bin/nats-server "$tools/nats-server=/usr/local/bin/nats-server"
  standin mail 65534:65534 /data /mailpit "$tools/mailpit=/mailpit"
}
