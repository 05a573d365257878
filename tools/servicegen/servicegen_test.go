package main

import (
	"bytes"
	"go/format"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/module"
	"souk/tools/internal/repo"
)

// tree returns the root of a tree with what servicegen reads and changes.
func tree(t *testing.T) string {
	t.Helper()
	from, err := repo.Root()
	require.NoError(t, err)
	root := t.TempDir()
	for _, dir := range []string{"apps/order/db", "cmd/souk", "docs", "pkg/id", "proto"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(from, dir))))
	}
	return root
}

// contents returns the texts of all files under root.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		out[strings.TrimPrefix(name, root+"/")] = string(text)
		return err
	}))
	return out
}

func TestRefusedServicesWriteNothing(t *testing.T) {
	t.Parallel()
	root := tree(t)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "apps", "started"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "apps", "started", "notes"), []byte("mine"), 0o644))
	before := contents(t, root)
	for _, c := range [][2]string{
		{"--entities=list", "--name="},
		{"--name=wish-list --entities=list", "lower-case letters"},
		{"--name=Wishlist --entities=list", "lower-case letters"},
		{"--name=../etc --entities=list", "lower-case letters"},
		{"--name=range --entities=list", "keyword"},
		{"--name=string --entities=list", "predeclared"},
		{"--name=redis --entities=list", "another meaning"},
		{"--name=handler --entities=list", "another meaning"},
		{"--name=natstest --entities=list", "another meaning"},
		{"--name=order --entities=list", "taken by apps/order"},
		{"--name=started --entities=list", "taken by apps/started"},
		{"--name=money --entities=list", "taken by proto/souk/money"},
		{"--name=wishlist --entities=list --shape=round", "--shape=round"},
		{"--name=wishlist --entities=list --database=oracle", "--database=oracle"},
		{"--name=wishlist", "at least one"},
		{"--name=wishlist --entities=List", "lower-case letters"},
		{"--name=wishlist --entities=type", "keyword"},
		{"--name=tree --entities=list", "another meaning"},
		{"--name=wishlist --entities=store", "another meaning"},
		{"--name=wishlist --entities=row", "another meaning"},
		{"--name=wishlist --entities=reset", "another meaning"},
		{"--name=wishlist --entities=list,list", "twice"},
		{"--name=wishlist --entities=list,lists", "twice"},
		{"--name=wishlist --entities=sheep:sheep", "twice"},
		{"--name=wishlist --entities=list,role:lists", "twice"},
		{"--name=wishlist --entities=order", "order.proto has the route /v1/orders"},
		{"--name=wishlist --entities=evt", "pkg/id"},
		{"--name=wishlist --entities=a1", "lower-case letters"},
		{"--name=wishlist --entities=aa,bb,cc,dd,ee", "at most 4"},
		{"--name=wishlist --entities=list --database=none", "keeps nothing"},
		{"--name=wishlist --entities=list more", "unexpected argument"},
		{"--name=wishlist --colour=red", "colour"},
	} {
		err := run(root, strings.Fields(c[0]), io.Discard)
		require.ErrorContains(t, err, c[1], c[0])
		require.Equal(t, before, contents(t, root), c[0])
	}
}

func TestNoFileIsOverwritten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, create(root, file{"a/b", "first"}))
	require.ErrorIs(t, create(root, file{"a/b", "second"}), fs.ErrExist)
	require.Equal(t, map[string]string{"a/b": "first"}, contents(t, root))
}

func TestConfigurationSectionsAreReservedNames(t *testing.T) {
	t.Parallel()
	for _, section := range module.Sections() {
		_, err := newSpec(section, "storage", "postgres", "list")
		require.Error(t, err, section)
	}
}

func TestPlurals(t *testing.T) {
	t.Parallel()
	for one, many := range map[string]string{
		"list": "lists", "box": "boxes", "batch": "batches", "wish": "wishes", "class": "classes", "reply": "replies", "day": "days",
	} {
		require.Equal(t, many, plural(one))
	}
}

// combinations are all shapes and databases, each with the arguments of a service.
var combinations = map[string]string{
	"wishlist":  "--shape=storage --database=postgres --entities=list,item",
	"forum":     "--shape=storage --database=documents --entities=topic,reply",
	"halves":    "--shape=storage --database=none",
	"loan":      "--shape=rules --database=postgres --entities=loan,deposit",
	"directory": "--shape=rules --database=documents --entities=person:people,address",
	"shares":    "--shape=rules --database=none",
}

func TestServicesHaveNoWordOfTheirTemplates(t *testing.T) {
	t.Parallel()
	for name, args := range combinations {
		root := tree(t)
		before := contents(t, root)
		var out bytes.Buffer
		require.NoError(t, run(root, append(strings.Fields(args), "--name="+name), &out))
		require.Contains(t, out.String(), "make generate")
		for path, text := range contents(t, root) {
			if text == before[path] {
				continue
			}
			require.Contains(t, out.String(), " "+path+"\n", "it says what it wrote")
			if _, ok := before[path]; ok {
				continue
			}
			for _, word := range []string{"gadget", "sample", "servicegen", "go:build", " a a", " a i"} {
				require.NotContains(t, strings.ToLower(path+text), word, "%s: %s", name, path)
			}
			if filepath.Ext(path) == ".go" {
				formatted, err := format.Source([]byte(text))
				require.NoError(t, err)
				require.Equal(t, string(formatted), text)
			}
		}
	}
}

func TestFilesOfTheLargestServiceKeepTheLimits(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--shape=storage", "--shape=storage --database=documents", "--shape=rules"} {
		root := tree(t)
		args += " --name=collectibles --entities=competition,collection,installment,translation"
		require.NoError(t, run(root, strings.Fields(args), io.Discard))
		for path, text := range contents(t, filepath.Join(root, "apps", "collectibles")) {
			if filepath.Ext(path) == ".go" {
				require.LessOrEqual(t, strings.Count(text, "\n"), 500, "%s: %s", args, path)
			}
			for line := range strings.Lines(text) {
				if strings.HasPrefix(strings.TrimSpace(line), "//") {
					continue // gofmt leaves comments as they are
				}
				require.LessOrEqual(t, len(line)+3*strings.Count(line, "\t"), 121, "%s: %s: %s", args, path, line)
			}
		}
	}
}

func TestTemplatesCompileInEveryCombination(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"rules", "documents", "rules,documents", "none", "rules,none"} {
		cmd := exec.CommandContext(t.Context(), "go", "vet", "-tags="+tags, "./templates/...")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", tags, out)
	}
}
