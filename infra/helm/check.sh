#!/usr/bin/env bash
# Checks the Helm chart and the manifests of infra/k8s without a cluster, in seconds when its packages are compiled:
#
#   - the chart renders for dev, staging, prod and with every option; values fit the schema; helm lint
#   - every document is decoded strictly into Kubernetes' types, or validated against its CustomResourceDefinition
#   - Pod Security "restricted" and a read-only root, for every pod
#   - each service of the registry has its objects, and they select its pods; probes lead to ports on which souk listens;
#     termination times fit; GOMEMLIMIT; secrets and SOUK_ variables; NetworkPolicies allow what is needed and no more
#   - rendered manifests, the table of values and the copy of the rules are up to date
#   - souk's own loader accepts the configuration of each service in each environment
#
# Not checked here: CloudNativePG's kinds and the values of NATS's chart and of the Prometheus adapter (their schemas are
# not to be had), and all that needs a cluster: infra/k8s/drill.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
infra/k8s/crds.sh >/dev/null
echo "helm: chart and manifests"
GOFLAGS='' go -C tests/infra/kube test -count=1 ./...
echo "helm: configuration of each environment, by souk's loader"
go test -pgo=off -count=1 -run '^TestChart' ./cmd/souk
echo "helm: all is well. Not checked: CloudNativePG's kinds, values of the charts nats and prometheus-adapter"
