package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// outputTree is the repository that receives the generated files.
type outputTree struct {
	root string
}

// owned describes the files that belong to this tool: all of gen/go, the .json files of gen/openapi, and the
// generated files of the encoder's test messages and of the templates' contract.
var owned = []struct{ dir, suffix string }{
	{dir: "gen/go"},
	{dir: "gen/openapi", suffix: ".json"},
	{dir: kindsDir, suffix: ".pb.go"},
	{dir: sampleDir + "/gen"},
}

// diff compares the tree with the files that it should hold. It returns the names to write and the stale names.
func (t outputTree) diff(files map[string][]byte) (changed, stale []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		old, err := os.ReadFile(t.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			changed = append(changed, name)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if !bytes.Equal(old, files[name]) {
			changed = append(changed, name)
		}
	}
	for _, o := range owned {
		err := filepath.WalkDir(t.path(o.dir), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, o.suffix) {
				return err
			}
			rel, err := filepath.Rel(t.root, file)
			if err != nil {
				return err
			}
			if name := filepath.ToSlash(rel); files[name] == nil {
				stale = append(stale, name)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	return changed, stale, nil
}

// check fails if the tree does not hold exactly the given files.
func (t outputTree) check(files map[string][]byte) error {
	changed, stale, err := t.diff(files)
	if err != nil {
		return err
	}
	if len(changed)+len(stale) == 0 {
		return nil
	}
	var b strings.Builder
	for _, name := range changed {
		fmt.Fprintf(&b, "\n  out of date: %s", name)
	}
	for _, name := range stale {
		fmt.Fprintf(&b, "\n  stale: %s", name)
	}
	return fmt.Errorf("generated files are not what proto/ gives; run go run ./tools/generate%s", b.String())
}

// write makes the tree hold exactly the given files.
func (t outputTree) write(files map[string][]byte) error {
	changed, stale, err := t.diff(files)
	if err != nil {
		return err
	}
	for _, name := range changed {
		if err := os.MkdirAll(filepath.Dir(t.path(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(t.path(name), files[name], 0o644); err != nil {
			return err
		}
	}
	for _, name := range stale {
		if err := os.Remove(t.path(name)); err != nil {
			return err
		}
		// Remove the folder as well. That fails, as intended, if it still has files.
		_ = os.Remove(filepath.Dir(t.path(name)))
	}
	return nil
}

func (t outputTree) path(name string) string {
	return filepath.Join(t.root, filepath.FromSlash(name))
}
