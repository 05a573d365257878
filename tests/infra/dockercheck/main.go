// Command dockercheck checks Dockerfiles as `docker build --check` does, with BuildKit's own parser and rules, but
// without an engine and a network. It is a module of its own, because BuildKit takes minutes to build.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	digest "github.com/opencontainers/go-digest"
)

// offline describes every base image, so that no registry is asked.
type offline struct{}

func (offline) ResolveImageConfig(
	_ context.Context, ref string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers"}}`), nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: dockercheck DOCKERFILE...")
		os.Exit(2)
	}
	status := 0
	for _, file := range os.Args[1:] {
		findings, err := check(file)
		switch {
		case err != nil:
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			status = 1
		case findings != "":
			fmt.Fprint(os.Stderr, findings)
			status = 1
		default:
			fmt.Printf("%s: BuildKit has no warnings\n", file)
		}
	}
	os.Exit(status)
}

// check returns BuildKit's warnings; "" if it has none.
func check(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	definition, err := llb.Scratch().Marshal(context.Background())
	if err != nil {
		return "", err
	}
	source := llb.NewSourceMap(nil, file, "Dockerfile", text)
	source.Definition = definition
	results, err := dockerfile2llb.DockerfileLint(context.Background(), text,
		dockerfile2llb.ConvertOpt{MetaResolver: offline{}, SourceMap: source})
	if err != nil {
		return "", err
	}
	if len(results.Warnings) == 0 && results.Error == nil {
		return "", nil
	}
	var out bytes.Buffer
	if err := results.PrintTo(&out, nil); err != nil {
		return "", err
	}
	if results.Error != nil {
		fmt.Fprintf(&out, "%s: %s\n", file, results.Error.Message)
	}
	return out.String(), nil
}
