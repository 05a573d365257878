#!/usr/bin/env bash
# Builds the programs that the drill needs out of the Go module proxy: Kubernetes' own control plane and kubectl, etcd,
# kwok (nodes and pods that are only claimed) and Helm. Each is kept in .cache/ops/bin under its version, so this is slow
# once (some 40 minutes of processor time), and then takes no time.
#
# usage: tools.sh            builds what is missing
#        tools.sh NAME...    only these: helm kwok etcd kube-apiserver kube-controller-manager kube-scheduler kubectl
# environment: TOOLS_JOBS (default 2): how many packages are compiled at the same time
set -euo pipefail
cd "$(dirname "$0")/../.."

kubernetes=1.37.2 helm=4.3.1 kwok=0.8.0 etcd=3.7.3
cache=$PWD/.cache/ops
mkdir -p "$cache/bin"
export CGO_ENABLED=0
unset GOFLAGS

# publish moves a program to its place, in one step: somebody else may build the same one.
publish() { # file name version
  mv -f "$1" "$cache/bin/$2-$3"
  ln -sfn "$2-$3" "$cache/bin/$2"
}

# module makes a module that builds one program. Further modules are taken at the versions given.
module() { # name package version module@version...
  local dir name=$1 package=$2 version=$3
  shift 3
  [ ! -x "$cache/bin/$name-$version" ] || return 0
  dir=$(mktemp -d "$cache/build.XXXXXX")
  echo "tools: building $name $version" >&2
  (
    cd "$dir"
    printf 'module ops\n\ngo 1.26.0\n' >go.mod
    go get -tool "$package@v$version" "$@" 2>get.log || { cat get.log >&2; exit 1; }
    nice -n 10 go build -mod=mod -p "${TOOLS_JOBS:-2}" -ldflags "-s -w" -o program "$package"
  )
  publish "$dir/program" "$name" "$version"
  rm -rf "$dir"
}

# control makes a module in which all of Kubernetes has one version, and builds a program of it.
control() { # name
  local dir source
  [ ! -x "$cache/bin/$1-$kubernetes" ] || return 0
  dir=$(mktemp -d "$cache/build.XXXXXX")
  echo "tools: building $1 $kubernetes" >&2
  (
    cd "$dir"
    source=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
    {
      printf 'module ops\n\n'
      sed -n '/^go /p' "$source"
      printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$kubernetes"
      sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 v0.${kubernetes#*.}#p" "$source"
      echo ")"
    } >go.mod
    nice -n 10 go build -mod=mod -p "${TOOLS_JOBS:-2}" \
      -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" \
      -o program "k8s.io/kubernetes/cmd/$1"
  )
  publish "$dir/program" "$1" "$kubernetes"
  rm -rf "$dir"
}

[ "$#" -gt 0 ] || set -- kwok helm etcd kubectl kube-scheduler kube-apiserver kube-controller-manager
for name; do
  case $name in
  helm)
    # With the same libraries as Kubernetes, most of it is compiled once.
    module helm helm.sh/helm/v4/cmd/helm "$helm" \
      "k8s.io/"{api,apimachinery,apiextensions-apiserver,apiserver,cli-runtime,client-go,kubectl}"@v0.${kubernetes#*.}"
    ;;
  kwok) module kwok sigs.k8s.io/kwok/cmd/kwok "$kwok" ;;
  etcd) module etcd go.etcd.io/etcd/server/v3 "$etcd" ;;
  kube-apiserver | kube-controller-manager | kube-scheduler | kubectl) control "$name" ;;
  *)
    echo "tools: there is no program $name" >&2
    exit 2
    ;;
  esac
done
