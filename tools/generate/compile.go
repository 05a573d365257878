package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// Contracts may import the .proto files of the packages that are linked here.
	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// contracts holds compiled .proto files and everything that they import.
type contracts struct {
	// goRoot is the import path of the Go code generated for them.
	goRoot string
	// own has the paths of souk's own files, sorted.
	own []string
	// files has all files, each after its imports.
	files []*descriptorpb.FileDescriptorProto
	// linked has souk's own files as descriptors, with options as dynamic messages.
	linked linker.Files
}

// compile compiles every .proto file under dir, for Go packages under goRoot. The files may also import those of the
// folders imports, whose Go packages are under publicRoot.
func compile(ctx context.Context, dir, goRoot string, imports ...string) (*contracts, error) {
	own, err := protoFiles(dir)
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: append([]string{dir}, imports...)},
			protocompile.ResolverFunc(linkedFile),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	linked, err := compiler.Compile(ctx, own...)
	if err != nil {
		return nil, err
	}
	c := &contracts{goRoot: goRoot, own: own, linked: linked}
	seen := map[string]bool{}
	for _, file := range linked {
		if err := c.add(file, seen); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// linkedFile resolves an import from the packages linked into this program.
func linkedFile(name string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: file}, nil
}

func protoFiles(dir string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path.Ext(name) == ".proto" {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no .proto files in %s", filepath.Clean(dir))
	}
	slices.Sort(files)
	return files, nil
}

// add appends file's imports and then file.
func (c *contracts) add(file protoreflect.FileDescriptor, seen map[string]bool) error {
	if seen[file.Path()] {
		return nil
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		if err := c.add(imports.Get(i).FileDescriptor, seen); err != nil {
			return err
		}
	}
	fd, err := c.fileProto(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file.Path(), err)
	}
	c.files = append(c.files, fd)
	return nil
}

func (c *contracts) fileProto(file protoreflect.FileDescriptor) (*descriptorpb.FileDescriptorProto, error) {
	goRoot := c.goRoot
	if !c.isOwn(file.Path()) {
		// The compiler may have only a placeholder for an imported file. The linked file is complete.
		if linked, err := protoregistry.GlobalFiles.FindFileByPath(file.Path()); err == nil {
			return protodesc.ToFileDescriptorProto(linked), nil
		}
		goRoot = publicRoot
	}
	fd := proto.CloneOf(protoutil.ProtoFromFileDescriptor(file))
	if fd.Options == nil {
		fd.Options = &descriptorpb.FileOptions{}
	}
	name := goPackage(goRoot, file.Path())
	fd.Options.GoPackage = &name
	return fd, nil
}

func (c *contracts) isOwn(name string) bool {
	_, found := slices.BinarySearch(c.own, name)
	return found
}

// goPackage returns the go_package option of a contract. For souk/product/v1/product.proto that is package
// productv1 in souk/gen/go/souk/product/v1.
func goPackage(goRoot, name string) string {
	dir := path.Join(goRoot, path.Dir(name))
	pkg := path.Base(dir)
	if versions.MatchString(pkg) {
		pkg = path.Base(path.Dir(dir)) + pkg
	}
	return dir + ";" + pkg
}

var versions = regexp.MustCompile(`^v[0-9]+$`)

// image returns the contracts as a buf image. This is a FileDescriptorSet in which buf's extension marks
// third-party files as imports, so that they are not linted.
func (c *contracts) image() ([]byte, error) {
	const (
		fileSetFile    = protowire.Number(1)    // FileDescriptorSet.file
		bufExtension   = protowire.Number(8042) // buf.alpha.image.v1.ImageFile.buf_extension
		extensionIsImp = protowire.Number(1)    // ImageFileExtension.is_import
	)
	options := proto.MarshalOptions{Deterministic: true}
	var image []byte
	for _, fd := range c.files {
		fd = proto.CloneOf(fd)
		if c.isOwn(fd.GetName()) {
			fd.Options.GoPackage = nil
		}
		data, err := options.Marshal(fd)
		if err != nil {
			return nil, err
		}
		isImport := uint64(1)
		if c.isOwn(fd.GetName()) {
			isImport = 0
		}
		extension := protowire.AppendTag(nil, extensionIsImp, protowire.VarintType)
		extension = protowire.AppendVarint(extension, isImport)
		data = protowire.AppendTag(data, bufExtension, protowire.BytesType)
		data = protowire.AppendBytes(data, extension)
		image = protowire.AppendTag(image, fileSetFile, protowire.BytesType)
		image = protowire.AppendBytes(image, data)
	}
	return image, nil
}
