package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugin is a protoc plugin, built at the version in go.mod.
type plugin struct {
	// pkg is the Go package of its command.
	pkg string
	// parameter is the value that protoc would take from --x_out=.
	parameter string
}

var (
	genGo       = plugin{pkg: "google.golang.org/protobuf/cmd/protoc-gen-go"}
	genGRPC     = plugin{pkg: "google.golang.org/grpc/cmd/protoc-gen-go-grpc"}
	genGateway  = plugin{pkg: "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway"}
	genJSON     = plugin{pkg: "souk/tools/protoc-gen-souk-json"}
	allPlugins  = []plugin{genGo, genGRPC, genGateway, genJSON}
	goPlugins   = []plugin{genGo, genGRPC, genGateway, genJSON}
	kindPlugins = []plugin{genGo, genJSON}
)

const (
	// publicRoot is the import path of the Go code generated for the contracts.
	publicRoot = "souk/gen/go"
	publicDir  = "gen/go"
	// kindsDir holds the encoder's test messages.
	kindsDir = "pkg/jsonpb/internal/kinds"
	// sampleDir holds the templates of tools/servicegen: their contract is in proto/, and its Go code in gen/go/.
	sampleDir = "tools/servicegen/templates"
)

// generate returns all generated files by their path in the repository.
func generate(ctx context.Context, root, protoDir string) (map[string][]byte, error) {
	public, err := compile(ctx, protoDir, publicRoot)
	if err != nil {
		return nil, err
	}
	kinds, err := compile(ctx, filepath.Join(root, filepath.FromSlash(kindsDir)), "souk/"+kindsDir)
	if err != nil {
		return nil, err
	}
	sampleProto := filepath.Join(root, filepath.FromSlash(sampleDir), "proto")
	sample, err := compile(ctx, sampleProto, path.Join("souk", sampleDir, publicDir), protoDir)
	if err != nil {
		return nil, err
	}
	bin, err := buildPlugins(ctx, root, allPlugins)
	if err != nil {
		return nil, err
	}
	out := output{files: map[string][]byte{}}
	group, ctx := errgroup.WithContext(ctx)
	goFiles := func(p plugin, c *contracts, dir string) {
		p.parameter = "module=" + c.goRoot
		group.Go(func() error {
			files, err := p.run(ctx, bin, c)
			if err == nil && p.pkg == genGateway.pkg {
				err = keepErrors(files)
			}
			if err != nil {
				return err
			}
			return out.add(dir, files)
		})
	}
	for _, p := range goPlugins {
		goFiles(p, public, publicDir)
		goFiles(p, sample, path.Join(sampleDir, publicDir))
	}
	for _, p := range kindPlugins {
		goFiles(p, kinds, kindsDir)
	}
	group.Go(func() error {
		document, err := public.openAPI()
		if err != nil {
			return err
		}
		return out.add("gen/openapi", map[string][]byte{"souk.json": document})
	})
	group.Go(func() error {
		files, err := permissionDocs(root, public)
		if err != nil {
			return fmt.Errorf("permissions: %w", err)
		}
		return out.add("", files)
	})
	group.Go(func() error {
		files, err := serviceFiles(root, public)
		if err != nil {
			return fmt.Errorf("services: %w", err)
		}
		return out.add("", files)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out.files, nil
}

// output collects the files of several plugins.
type output struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (o *output) add(dir string, files map[string][]byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, data := range files {
		name = path.Join(dir, name)
		if o.files[name] != nil {
			return fmt.Errorf("%s is written twice", name)
		}
		o.files[name] = data
	}
	return nil
}

// keepErrors makes the generated REST handlers return the original error if a request cannot be decoded,
// instead of only its text. jsonpb's errors name the invalid field.
func keepErrors(files map[string][]byte) error {
	const (
		flattened = `status.Errorf(codes.InvalidArgument, "%v", err)`
		kept      = `jsonpb.RequestError(err)`
		anImport  = "\t\"google.golang.org/protobuf/proto\"\n"
		ownImport = "\n\t\"souk/pkg/jsonpb\"\n"
	)
	for name, data := range files {
		if !bytes.Contains(data, []byte("err != nil && !errors.Is(err, io.EOF)")) &&
			!bytes.Contains(data, []byte(flattened)) {
			continue
		}
		if !bytes.Contains(data, []byte(flattened)) || !bytes.Contains(data, []byte(anImport)) {
			return fmt.Errorf("%s: the plugin writes decoding errors in a new way; see keepErrors", name)
		}
		data = bytes.ReplaceAll(data, []byte(flattened), []byte(kept))
		data = bytes.Replace(data, []byte(anImport), []byte(anImport+ownImport), 1)
		files[name] = data
	}
	return nil
}

// buildPlugins builds the plugins into .cache/plugins of the repository and returns that folder. It does not
// rebuild plugins that are up to date.
func buildPlugins(ctx context.Context, root string, plugins []plugin) (string, error) {
	bin := filepath.Join(root, ".cache", "plugins")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	args := []string{"build", "-buildvcs=false", "-o", bin + string(filepath.Separator)}
	for _, p := range plugins {
		args = append(args, p.pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the plugins: %w\n%s", err, out)
	}
	return bin, nil
}

// run passes the contracts to the plugin and returns the files that it generates.
func (p plugin) run(ctx context.Context, bin string, c *contracts) (map[string][]byte, error) {
	name := path.Base(p.pkg)
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: c.own,
		ProtoFile:      c.files,
		Parameter:      &p.parameter,
	})
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name))
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, stderr.Bytes())
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out, response); err != nil {
		return nil, fmt.Errorf("%s answered nonsense: %w", name, err)
	}
	if response.Error != nil {
		return nil, fmt.Errorf("%s: %w", name, errors.New(response.GetError()))
	}
	files := make(map[string][]byte, len(response.File))
	for _, f := range response.File {
		files[f.GetName()] = []byte(f.GetContent())
	}
	return files, nil
}
