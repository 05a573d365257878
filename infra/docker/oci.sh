# shellcheck shell=bash
# What building and running images without an engine needs: buildah and podman with a store of their own. Source it in
# the repository's root. It sets $oci, and the environment of buildah and podman.
#
# Debian's podman 4.3 runs containers with runc here: crun refuses hybrid cgroups. The store is below .cache/ops, so
# images of other users of this machine are not touched.

# oci_tools PACKAGE... installs what is missing, on Debian.
oci_tools() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null 2>&1 || {
    echo "missing: ${missing[*]} (this check is for Debian)" >&2
    return 1
  }
  echo "installing ${missing[*]}" >&2
  local as=
  [ "$(id -u)" -eq 0 ] || as=sudo
  $as apt-get update -qq
  $as env DEBIAN_FRONTEND=noninteractive nice -n 10 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

oci=${OCI_DIR:-$(realpath -m .cache/ops)/oci}
mkdir -p "$oci/tmp"
cat >"$oci/containers.conf" <<END
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "$oci/networks"
END
cat >"$oci/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$oci/store"
runroot = "$oci/run"
END
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$oci/policy.json"
export CONTAINERS_CONF=$oci/containers.conf CONTAINERS_STORAGE_CONF=$oci/storage.conf TMPDIR=$oci/tmp
# podman starts a systemd timer for each health check otherwise.
export DISABLE_HC_SYSTEMD=true

# oci_build ARGUMENTS... builds an image without a registry.
oci_build() { buildah bud --isolation chroot --signature-policy "$oci/policy.json" "$@"; }
