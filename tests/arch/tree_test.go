package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// modulePath is the module's path in imports.
const modulePath = "souk"

// goFile is a Go source file of the tree.
type goFile struct {
	path      string // slashes, from the repository's root
	dir       string
	test      bool
	generated bool
	lines     int
	syntax    *ast.File
	imports   []goImport
}

type goImport struct {
	path string
	line int
}

// tree is what the rules see of the repository: parsed Go files outside of gen/, and the names of all files. A file's
// text is read when a rule needs it.
type tree struct {
	fsys  fs.FS
	fset  *token.FileSet
	goes  []*goFile
	files []string
}

// skipped are the folders that the rules don't check.
var skipped = []string{".git", ".cache", ".souk", "bin", "gen", "node_modules", "testdata"}

func load(fsys fs.FS) (*tree, error) {
	t := &tree{fsys: fsys, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(skipped, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		t.files = append(t.files, p)
		if path.Ext(p) != ".go" {
			return nil
		}
		f, err := t.parse(p)
		if err == nil {
			t.goes = append(t.goes, f)
		}
		return err
	})
	return t, err
}

func (t *tree) parse(p string) (*goFile, error) {
	src, err := fs.ReadFile(t.fsys, p)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(t.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &goFile{
		path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), generated: ast.IsGenerated(syntax),
		lines: strings.Count(string(src), "\n"), syntax: syntax,
	}
	for _, spec := range syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		f.imports = append(f.imports, goImport{path: name, line: t.fset.Position(spec.Pos()).Line})
	}
	return f, nil
}

func (t *tree) text(p string) (string, error) {
	b, err := fs.ReadFile(t.fsys, p)
	return string(b), err
}

func (t *tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// within reports whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// service returns X for a path apps/X or below it; "" for other paths.
func service(p string) string {
	rest, ok := strings.CutPrefix(p, "apps/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// layer returns L for a folder apps/X/internal/L or below it; "" for other folders.
func layer(dir string) string {
	parts := strings.Split(dir, "/")
	if len(parts) < 4 || parts[0] != "apps" || parts[2] != "internal" {
		return ""
	}
	return parts[3]
}

// ours returns an import's folder in this repository; "" for an import from outside.
func ours(imported string) string {
	dir, ok := strings.CutPrefix(imported, modulePath+"/")
	if !ok {
		return ""
	}
	return dir
}

// standard reports whether an import is from the standard library.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != modulePath && !strings.Contains(first, ".")
}

// testKit reports whether a folder is a package of test helpers, such as pgtest or rpctest.
func testKit(dir string) bool { return strings.HasSuffix(dir, "test") || within(dir, "tests") }
