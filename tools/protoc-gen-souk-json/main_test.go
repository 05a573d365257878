package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/pluginpb"

	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
)

const goRoot = "souk/gen/go"

// generate runs the plugin for all of souk's own files.
func generate(t *testing.T, files []*descriptorpb.FileDescriptorProto) (*pluginpb.CodeGeneratorResponse, error) {
	t.Helper()
	var own []string
	for _, f := range files {
		if strings.HasPrefix(f.GetOptions().GetGoPackage(), goRoot) {
			own = append(own, f.GetName())
		}
	}
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: own, ProtoFile: files, Parameter: proto.String("module=" + goRoot),
	})
	require.NoError(t, err)
	err = run(plugin)
	return plugin.Response(), err
}

// withImports returns a file behind those that it imports, as protoc sends them.
func withImports(f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	var out []*descriptorpb.FileDescriptorProto
	for i := range f.Imports().Len() {
		out = append(out, withImports(f.Imports().Get(i).FileDescriptor, seen)...)
	}
	return append(out, protodesc.ToFileDescriptorProto(f))
}

func TestCommittedEncodersAreThoseOfTheContracts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	files := withImports(orderv1.File_souk_order_v1_order_proto, seen)
	files = append(files, withImports(productv1.File_souk_product_v1_product_proto, seen)...)
	response, err := generate(t, files)
	require.NoError(t, err)
	var names []string
	for _, file := range response.GetFile() {
		names = append(names, file.GetName())
		committed, err := os.ReadFile(filepath.Join("../../gen/go", file.GetName()))
		require.NoError(t, err)
		require.Equal(t, string(committed), file.GetContent())
	}
	require.Subset(t, names, []string{"souk/order/v1/order_json.pb.go", "souk/product/v1/product_json.pb.go"})
}

func TestOtherSyntaxesAreRefused(t *testing.T) {
	t.Parallel()
	f := protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto)
	f.Syntax = proto.String("proto2")
	f.Options.GoPackage = proto.String("souk/gen/go/old")
	_, err := generate(t, []*descriptorpb.FileDescriptorProto{f})
	require.ErrorContains(t, err, "only proto3 is supported")
}
