#!/usr/bin/env bash
# Takes the CustomResourceDefinitions of the kinds that the chart and infra/k8s use out of their projects' Go modules, into
# .cache/ops/crds: so they are validated against what their controllers would accept. Prints the folder. CloudNativePG's
# own kinds are missing: its module is not served by the Go module proxy.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=.cache/ops/crds
mkdir -p "$out"

# take module version file...
take() {
  local module=$1 version=$2 dir file target missing=''
  shift 2
  for file; do
    target=$out/$(basename "$file" .yaml)-$version.yaml
    [ -s "$target" ] || missing=yes
  done
  [ -n "$missing" ] || return 0
  dir=$(cd / && GOFLAGS='' go mod download -json "$module@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') || true
  [ -n "$dir" ] || {
    echo "crds: $module@$version cannot be had" >&2
    exit 1
  }
  for file; do
    target=$out/$(basename "$file" .yaml)-$version.yaml
    cp "$dir/$file" "$target.new"
    chmod 644 "$target.new"
    mv -f "$target.new" "$target"
  done
}

take github.com/cert-manager/cert-manager v1.21.2 \
  deploy/crds/cert-manager.io_certificates.yaml deploy/crds/cert-manager.io_clusterissuers.yaml
take sigs.k8s.io/gateway-api v1.6.3 config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
take github.com/external-secrets/external-secrets v1.3.2 config/crds/bases/external-secrets.io_externalsecrets.yaml
take github.com/prometheus-operator/prometheus-operator v0.85.0 \
  example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
  example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
take github.com/cloudnative-pg/plugin-barman-cloud v0.15.0 config/crd/bases/barmancloud.cnpg.io_objectstores.yaml
echo "$out"
