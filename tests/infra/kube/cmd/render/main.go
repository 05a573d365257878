// Command render writes the plain manifests of infra/k8s and the table of values: see infra/helm/render.sh.
package main

import (
	"fmt"
	"os"

	"souk/tests/infra/kube"
)

func main() {
	root, err := kube.Root()
	if err == nil {
		err = kube.Write(root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}
