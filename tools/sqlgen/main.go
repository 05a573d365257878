// Command sqlgen runs sqlc in each folder that has a sqlc.yaml, and records the checksums of the inputs beside the
// generated code:
//
//	go run ./tools/sqlgen
//
// CI does not generate the code again to compare it, since building sqlc takes minutes. Instead, the test of this
// command compares the checksums with the SQL, and so finds generated code that is out of date.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"souk/tools/internal/repo"
)

const (
	configName = "sqlc.yaml"
	sumsName   = "inputs.sum"
	// version is the required version of sqlc. Another version would change all generated code.
	version = "v1.31.1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sqlgen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := repo.Root()
	if err != nil {
		return err
	}
	program, err := find(ctx)
	if err != nil {
		return err
	}
	fsys := os.DirFS(root)
	dirs, err := folders(fsys)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		cmd := exec.CommandContext(ctx, program, "generate") //nolint:gosec // found above
		cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join(root, dir), os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		sums, err := checksums(fsys, dir)
		if err != nil {
			return err
		}
		for _, s := range sums {
			if err := os.WriteFile(
				filepath.Join(root, s.path), []byte(s.text), 0o644,
			); err != nil { //nolint:gosec // source code
				return err
			}
		}
		fmt.Println(dir)
	}
	return nil
}

// find returns the path of the sqlc to use.
func find(ctx context.Context) (string, error) {
	program, err := exec.LookPath("sqlc")
	if err != nil {
		program = filepath.Join(build.Default.GOPATH, "bin", "sqlc")
	}
	found, err := exec.CommandContext(ctx, program, "version").Output() //nolint:gosec // found in PATH or GOPATH
	if err != nil || strings.TrimSpace(string(found)) != version {
		return "", fmt.Errorf(
			"there is no sqlc %s: go install github.com/sqlc-dev/sqlc/cmd/sqlc@%s (some minutes, once)", version,
			version,
		)
	}
	return program, nil
}

// folders finds the folders that have a sqlc.yaml.
func folders(fsys fs.FS) (dirs []string, err error) {
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.Name() == configName:
			dirs = append(dirs, path.Dir(p))
		}
		return nil
	})
	return dirs, err
}

// config is the part of a sqlc.yaml that gives the inputs and the output folder.
type config struct {
	SQL []struct {
		Schema  paths `yaml:"schema"`
		Queries paths `yaml:"queries"`
		Gen     struct {
			Go struct {
				Out string `yaml:"out"`
			} `yaml:"go"`
		} `yaml:"gen"`
	} `yaml:"sql"`
}

// paths holds one or several paths.
type paths []string

// UnmarshalYAML reads one path or a list of paths.
func (p *paths) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*p = paths{n.Value}
		return nil
	}
	return n.Decode((*[]string)(p))
}

// sumFile is a file with the checksums of the inputs of the generated code beside it. It has a line for each
// input, as sha256sum writes it.
type sumFile struct{ path, text string }

// checksums returns the checksum files for the current inputs of a folder.
func checksums(fsys fs.FS, dir string) ([]sumFile, error) {
	name := path.Join(dir, configName)
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []sumFile
	for _, s := range c.SQL {
		inputs := []string{name}
		for _, p := range slices.Concat(s.Queries, s.Schema) {
			files, err := sqlFiles(fsys, path.Join(dir, p))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			inputs = append(inputs, files...)
		}
		var b strings.Builder
		for _, input := range inputs {
			text, err := fs.ReadFile(fsys, input)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), input)
		}
		out = append(out, sumFile{path.Join(dir, s.Gen.Go.Out, sumsName), b.String()})
	}
	return out, nil
}

// sqlFiles returns p if it is a file. If it is a folder, it returns the files that sqlc reads, which excludes down
// migrations.
func sqlFiles(fsys fs.FS, p string) ([]string, error) {
	info, err := fs.Stat(fsys, p)
	if err != nil || !info.IsDir() {
		return []string{p}, err
	}
	all, err := fs.Glob(fsys, path.Join(p, "*.sql"))
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, ".down.sql") }), err
}

// stale returns the folders whose inputs differ from the recorded checksums.
func stale(fsys fs.FS) (dirs []string, err error) {
	all, err := folders(fsys)
	if err != nil {
		return nil, err
	}
	for _, dir := range all {
		current, err := checksums(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, s := range current {
			recorded, err := fs.ReadFile(fsys, s.path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if string(recorded) != s.text {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs, nil
}
