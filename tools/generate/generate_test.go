package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"souk/tools/internal/repo"
)

// generated generates all files, once for all tests.
var generated = sync.OnceValues(func() (map[string][]byte, error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	return generate(context.Background(), root, filepath.Join(root, "proto"))
})

func setup(t *testing.T) (root string, files map[string][]byte) {
	t.Helper()
	root, err := repo.Root()
	require.NoError(t, err)
	// The test runs the plugin but does not import it. Reading its source makes go test notice its changes.
	sources, err := filepath.Glob(filepath.Join(root, "tools/protoc-gen-souk-json/*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	for _, source := range sources {
		_, err := os.ReadFile(source)
		require.NoError(t, err)
	}
	files, err = generated()
	require.NoError(t, err)
	return root, files
}

func TestCommittedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, files := setup(t)
	require.NoError(t, outputTree{root: root}.check(files))
	for _, name := range []string{
		"gen/go/souk/product/v1/product.pb.go",
		"gen/go/souk/product/v1/product_grpc.pb.go",
		"gen/go/souk/product/v1/product.pb.gw.go",
		"gen/go/souk/product/v1/product_json.pb.go",
		"gen/openapi/souk.json",
	} {
		require.Contains(t, files, name)
	}
}

func TestGenerateGivesTheSameOutputTwice(t *testing.T) {
	t.Parallel()
	root, first := setup(t)
	second, err := generate(t.Context(), root, filepath.Join(root, "proto"))
	require.NoError(t, err)
	require.Len(t, second, len(first))
	for name, data := range first {
		require.Equal(t, string(data), string(second[name]), name)
	}
}

func TestCheckFindsWhatWriteUpdatesAndRemoves(t *testing.T) {
	t.Parallel()
	tree := outputTree{root: t.TempDir()}
	files := map[string][]byte{"gen/go/souk/a/v1/a.pb.go": []byte("a"), "gen/openapi/souk.json": []byte("{}")}
	require.ErrorContains(t, tree.check(files), "out of date: gen/go/souk/a/v1/a.pb.go")
	require.NoError(t, tree.write(files))
	require.NoError(t, tree.check(files))

	byHand := tree.path("gen/openapi/openapi.go")
	require.NoError(t, os.WriteFile(byHand, []byte("package openapi"), 0o600))
	require.NoError(t, tree.check(files))

	delete(files, "gen/go/souk/a/v1/a.pb.go")
	require.ErrorContains(t, tree.check(files), "stale: gen/go/souk/a/v1/a.pb.go")
	require.NoError(t, tree.write(files))
	require.NoDirExists(t, tree.path("gen/go/souk/a/v1"))
	require.FileExists(t, byHand)

	require.NoError(t, os.WriteFile(tree.path("gen/openapi/souk.json"), []byte("edited"), 0o600))
	require.ErrorContains(t, tree.check(files), "out of date: gen/openapi/souk.json")
}

func TestCompileErrorGivesTheLine(t *testing.T) {
	t.Parallel()
	_, err := compileSource(t, "x.proto", `syntax = "proto3"; package souk.x.v1; message M { Missing m = 1; }`)
	require.ErrorContains(t, err, "souk/x/v1/x.proto:1:51")

	_, err = compile(t.Context(), t.TempDir(), publicRoot)
	require.ErrorContains(t, err, "no .proto files")
}

func TestGoPackageFollowsThePathOfTheContract(t *testing.T) {
	t.Parallel()
	require.Equal(t, "souk/gen/go/souk/product/v1;productv1", goPackage(publicRoot, "souk/product/v1/events.proto"))
	require.Equal(t, "souk/pkg/jsonpb/internal/kinds;kinds", goPackage("souk/"+kindsDir, "kinds.proto"))
}

func TestMethodsRefusesInvalidAccess(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ options, message string }{
		"no option": {"", "souk.x.v1.S.Do: has no option (souk.options.v1.access)"},
		"internal, but over REST": {
			`option (souk.options.v1.access) = {level: LEVEL_INTERNAL}; option (google.api.http) = {get: "/v1/x"};`,
			"souk.x.v1.S.Do: is internal, but has an option (google.api.http)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := compileSource(t, "x.proto", `syntax = "proto3"; package souk.x.v1;
				import "google/api/annotations.proto"; import "souk/options/v1/options.proto";
				message Empty {} service S { rpc Do(Empty) returns (Empty) {`+tt.options+`} }`)
			require.NoError(t, err)
			_, err = c.methods()
			require.EqualError(t, err, tt.message)
		})
	}
}

// compileSource compiles source as a file of souk/x/v1, with souk's options.
func compileSource(t *testing.T, file, source string) (*contracts, error) {
	t.Helper()
	root, err := repo.Root()
	require.NoError(t, err)
	options, err := os.ReadFile(filepath.Join(root, "proto/souk/options/v1/options.proto"))
	require.NoError(t, err)
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"souk/x/v1/" + file: []byte(source), "souk/options/v1/options.proto": options,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return compile(t.Context(), dir, publicRoot)
}

func TestImageMarksImports(t *testing.T) {
	t.Parallel()
	root, err := repo.Root()
	require.NoError(t, err)
	image := filepath.Join(t.TempDir(), "out.binpb")
	require.NoError(t, run(t.Context(), []string{"-proto", filepath.Join(root, "proto"), "-image", image}))
	data, err := os.ReadFile(image)
	require.NoError(t, err)
	var set descriptorpb.FileDescriptorSet
	require.NoError(t, proto.Unmarshal(data, &set))
	imports := map[string]bool{}
	for _, file := range set.File {
		number, _, n := protowire.ConsumeTag(file.ProtoReflect().GetUnknown())
		require.EqualValues(t, 8042, number)
		extension, _ := protowire.ConsumeBytes(file.ProtoReflect().GetUnknown()[n:])
		imports[file.GetName()] = extension[len(extension)-1] == 1
	}
	require.False(t, imports["souk/product/v1/product.proto"])
	require.True(t, imports["google/api/http.proto"])
	require.True(t, imports["buf/validate/validate.proto"])
}

func TestKeepErrorsRefusesUnknownPluginOutput(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"x.pb.gw.go": []byte(`if err != nil && !errors.Is(err, io.EOF) { return flatten(err) }`)}
	require.ErrorContains(t, keepErrors(files), "x.pb.gw.go")
}
