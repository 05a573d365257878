#!/usr/bin/env bash
# Installs souk on a real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler) on
# loopback. Nodes are fake: kwok says that pods run. So it shows what the API server, the controllers and Helm do with the
# manifests and with the chart; containers don't run. See infra/k8s/README.md for what it checks, and what it can't.
#
# usage: drill.sh        (the first time, infra/k8s/tools.sh builds the programs for some 40 minutes)
# environment: KEEP=yes leaves the log files of the control plane, and prints their folder
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
infra/k8s/tools.sh
crds=$(infra/k8s/crds.sh)
export PATH=$root/.cache/ops/bin:$PATH
run=$(mktemp -d)
export KUBECONFIG=$run/admin.kubeconfig HELM_CACHE_HOME=$run/helm HELM_CONFIG_HOME=$run/helm HELM_DATA_HOME=$run/helm

began=$(date +%s%N) last=$(date +%s%N)
step() { # what has been seen
  local now
  now=$(date +%s%N)
  printf 'drill: %6d ms  %s\n' $(((now - last) / 1000000)) "$1"
  last=$now
}
fail() {
  echo "drill: FAILED: $1" >&2
  [ -z "${2:-}" ] || tail -40 "$2" >&2
  exit 1
}

pids=()
start() { # name program arguments...
  local name=$1
  shift
  "$@" >"$run/$name.log" 2>&1 &
  pids+=($!)
}
stop() {
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  if [ "${KEEP:-}" = yes ]; then echo "drill: logs are in $run" >&2; else rm -rf "$run"; fi
}
trap stop EXIT

free() { # a port that nobody listens on
  local port
  while port=$((20000 + RANDOM % 12000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}
until_true() { # seconds command...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.3
  done
}

# --- the control plane
port=$(free) etcd=$(free) peer=$(free) kcm=$(free) scheduler=$(free) kwok=$(free)
cd "$run"
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=drill 2>/dev/null
certificate() { # name subject
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") 2>/dev/null
  cat >"$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: drill, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $run/ca.crt}}]
users: [{name: drill, user: {client-certificate: $run/$1.crt, client-key: $run/$1.key}}]
contexts: [{name: drill, context: {cluster: drill, user: drill}}]
current-context: drill
END
}
certificate server /CN=kube-apiserver
certificate admin /O=system:masters/CN=admin
certificate kcm /CN=system:kube-controller-manager
certificate scheduler /CN=system:kube-scheduler
start etcd etcd --data-dir "$run/etcd" --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$etcd" \
  --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" \
  --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer"
start apiserver kube-apiserver --etcd-servers="http://127.0.0.1:$etcd" --bind-address=127.0.0.1 \
  --advertise-address=127.0.0.1 --secure-port="$port" --endpoint-reconciler-type=none --tls-cert-file=server.crt \
  --tls-private-key-file=server.key --client-ca-file=ca.crt --service-account-issuer="https://127.0.0.1:$port" \
  --service-account-key-file=sa.pub --service-account-signing-key-file=sa.key --service-cluster-ip-range=10.96.0.0/16 \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
until_true 180 kubectl get --raw /readyz || fail "the API server is not ready" apiserver.log
start kcm kube-controller-manager --kubeconfig=kcm.kubeconfig --leader-elect=false \
  --service-account-private-key-file=sa.key --root-ca-file=ca.crt --use-service-account-credentials=true \
  --bind-address=127.0.0.1 --secure-port="$kcm" --authentication-kubeconfig=kcm.kubeconfig \
  --authorization-kubeconfig=kcm.kubeconfig --horizontal-pod-autoscaler-sync-period=3s
start scheduler kube-scheduler --kubeconfig=scheduler.kubeconfig --leader-elect=false --bind-address=127.0.0.1 \
  --secure-port="$scheduler" --authentication-kubeconfig=scheduler.kubeconfig \
  --authorization-kubeconfig=scheduler.kubeconfig
start kwok kwok --kubeconfig="$KUBECONFIG" --config="$root/infra/k8s/drill/stages.yaml" --manage-all-nodes=true \
  --cidr=10.244.0.0/16 --node-ip=127.0.0.1 --server-address="127.0.0.1:$kwok"
cd "$root"
step "control plane: $(kubectl get --raw /version | sed -n 's/.*"gitVersion": "\(.*\)",/\1/p')"

# A warning of the API server is a failure. Pod Security only warns about a Deployment whose pods it will refuse.
apply() { # arguments of kubectl apply
  kubectl apply --server-side --validate=strict "$@" >"$run/apply.out" 2>"$run/apply.err" || fail "apply $*" "$run/apply.err"
  ! grep -q '^Warning' "$run/apply.err" || fail "the API server warns" "$run/apply.err"
}
apply -f infra/k8s/drill/nodes.yaml -f "$crds"
kubectl wait --for=condition=Ready node --all --timeout=60s >/dev/null
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
step "6 nodes in 3 zones, $(kubectl get crd -o name | wc -l) CustomResourceDefinitions"

# --- plain manifests
apply -f infra/k8s/base/namespace.yaml
apply -f infra/k8s/base -f infra/k8s/databases/evaluation -f infra/k8s/nats/evaluation.yaml -f infra/k8s/services \
  -f infra/k8s/monitoring/souk.yaml
objects=$(wc -l <"$run/apply.out")
apply -f <(sed -n '1,/^---$/p' infra/k8s/databases/production/backup.yaml)
step "plain manifests: $((objects + $(wc -l <"$run/apply.out"))) objects applied by strict server-side apply, no warning"
for object in $(kubectl -n souk get deployments,statefulsets -o name); do
  kubectl -n souk rollout status "$object" --timeout=120s >"$run/rollout.out" 2>&1 || fail "$object" "$run/rollout.out"
done
kubectl -n souk wait --for=condition=Complete job/souk-migrate --timeout=60s >/dev/null
step "$(kubectl -n souk get pods --field-selector=status.phase=Running -o name | wc -l) pods run, the migration is complete"

# --- what must be refused
refused() { # what, text of the error; the manifest is the input
  ! kubectl apply --server-side --validate=strict -f - >"$run/refused.out" 2>&1 || fail "$1 is accepted"
  grep -q "$2" "$run/refused.out" || fail "$1 is refused for another reason" "$run/refused.out"
}
sed 's/enableServiceLinks/enableServiceLink/' infra/k8s/services/cart.yaml | refused "an unknown field" 'field not declared'
printf '%s\n' 'apiVersion: v1' 'kind: Pod' 'metadata: {name: bad, namespace: souk}' \
  'spec: {containers: [{name: bad, image: bad}]}' | refused "a pod against Pod Security" 'violates PodSecurity "restricted'
sed 's/runAsNonRoot: true/runAsNonRoot: false/' infra/k8s/services/cart.yaml |
  kubectl apply --server-side --dry-run=server --force-conflicts -f - >"$run/refused.out" 2>&1
grep -q '^Warning: would violate PodSecurity' "$run/refused.out" ||
  fail "there is no warning about a Deployment against Pod Security" "$run/refused.out"
step "an unknown field, a pod and a Deployment against Pod Security are found"
kubectl delete namespace souk --wait=false >/dev/null
kubectl delete priorityclass souk-natsauth >/dev/null # the release below makes its own

# --- the chart, with the values of production
kubectl create namespace shop >/dev/null
kubectl label namespace shop pod-security.kubernetes.io/{enforce,warn}=restricted >/dev/null
helm_() { # arguments of helm
  helm -n shop "$@" >"$run/helm.out" 2>&1 || return 1
  ! grep -qi 'would violate\|warning' "$run/helm.out" || fail "Helm prints a warning" "$run/helm.out"
}
release() { # tag, further arguments
  local tag=$1
  shift
  helm_ upgrade --install souk infra/helm/souk -f infra/helm/souk/values-prod.yaml --set "image.tag=$tag" --wait \
    --timeout 300s "$@"
}
tag() { kubectl -n shop get deployment souk-order -o jsonpath='{.spec.template.spec.containers[0].image}'; }
enough() { # every autoscaler has its fewest pods
  [ -z "$(kubectl -n shop get hpa -o jsonpath='{range .items[*]}{.spec.minReplicas} {.status.currentReplicas}{"\n"}{end}' |
    awk '$1 > $2')" ]
}
helm template souk infra/helm/souk -n shop -f infra/helm/souk/values-prod.yaml --no-hooks >"$run/chart.yaml"
apply -n shop --dry-run=server -f "$run/chart.yaml"
step "chart: $(wc -l <"$run/apply.out") objects pass the API server's dry run"
release v1 || fail "install" "$run/helm.out"
until_true 60 enough || fail "autoscalers don't reach their fewest pods"
kubectl -n shop get job souk-migrate >/dev/null 2>&1 && fail "the hook's Job is still there after success"
step "helm install: hook complete, $(kubectl -n shop get pods -o name | wc -l) pods in 17 services"

# A rolling update of the gateway never has fewer pods than before.
gateways() { kubectl -n shop get deployment souk-gateway -o jsonpath='{.status.availableReplicas}'; }
before=$(gateways) fewest=$before
release v2 & update=$!
while kill -0 "$update" 2>/dev/null; do
  now=$(gateways)
  [ "${now:-0}" -ge "$fewest" ] || fewest=${now:-0}
done
wait "$update" || fail "upgrade" "$run/helm.out"
[ "$fewest" -ge "$before" ] || fail "the gateway had $fewest of $before pods during the update"
[[ $(tag) == *:v2 ]] || fail "the upgrade left $(tag)"
step "helm upgrade: v2, never fewer than $before gateways"

if release broken --set migrations.backoffLimit=0; then fail "a failed migration did not fail the release"; fi
[[ $(tag) == *:v2 ]] || fail "a failed migration changed $(tag)"
[[ $(helm -n shop history souk --max 1) == *failed* ]] || fail "the history does not say failed"
step "a failing migration fails the release; pods stay at v2"
release v3 || fail "upgrade after a failed one" "$run/helm.out"
helm_ rollback souk 2 --wait --timeout 300s || fail "rollback" "$run/helm.out"
[[ $(tag) == *:v2 ]] || fail "the rollback left $(tag)"
step "helm upgrade to v3 and rollback to v2"

# --- disruptions
until_true 60 enough || fail "autoscalers don't reach their fewest pods"
node=$(kubectl -n shop get pods -l app.kubernetes.io/component=gateway -o jsonpath='{.items[0].spec.nodeName}')
kubectl drain "$node" --ignore-daemonsets --timeout=120s >"$run/drain.out" 2>&1 || fail "drain" "$run/drain.out"
[ -z "$(kubectl -n shop get pods --field-selector "spec.nodeName=$node" -o name)" ] || fail "$node is not empty"
kubectl -n shop wait --for=condition=Available deployment --all --timeout=60s >/dev/null
step "drain of $node: $(grep -c '^pod/.* evicted' "$run/drain.out") pods evicted, all services available"
kubectl uncordon "$node" >/dev/null
until_true 60 enough || fail "autoscalers don't reach their fewest pods"
evict() { # pod
  kubectl create --raw "/api/v1/namespaces/shop/pods/$1/eviction" -f - <<END
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$1", "namespace": "shop"}}
END
}
kubectl get nodes -o name | xargs kubectl cordon >/dev/null # so that no pod is replaced
mapfile -t pods < <(kubectl -n shop get pods -l app.kubernetes.io/component=order -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}')
evict "${pods[0]}" >/dev/null 2>&1 || fail "the first eviction is refused"
if evict "${pods[1]}" >"$run/evict.out" 2>&1; then fail "a second eviction is allowed"; fi
grep -q 'disruption budget' "$run/evict.out" || fail "the second eviction" "$run/evict.out"
kubectl get nodes -o name | xargs kubectl uncordon >/dev/null
step "of ${#pods[@]} order pods, one may be evicted at a time"

helm_ uninstall souk --wait --timeout 120s || fail "uninstall" "$run/helm.out"
left=$(kubectl -n shop get deployments,statefulsets,services,hpa,pdb,externalsecrets,httproutes,certificates -o name)
[ -z "$left" ] || fail "uninstall leaves $left"
step "helm uninstall"

cat <<END
drill: all is well in $((($(date +%s%N) - began) / 1000000000)) s. Not checked, because nothing here can: containers and their probes (kubelet),
drill: enforcement of NetworkPolicies, metrics of autoscalers, controllers of custom resources (CloudNativePG, cert-manager,
drill: External Secrets, Gateway API, Prometheus Operator), CloudNativePG's schemas.
END
