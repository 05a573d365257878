// Package kube renders souk's Helm chart (infra/helm/souk) with Helm's own engine and checks what comes out of it,
// without a cluster: infra/helm/check.sh runs the tests. It is a module of its own because Helm and Kubernetes are large.
//
// A check is a function that returns what is wrong with a set of documents. TestEachCheckFindsItsMistake breaks the
// documents on purpose, once for each check.
package kube
