// Command sqlgen runs sqlc in each folder that has a sqlc.yaml, and notes beside the generated code what it was made of:
//
//	go run ./tools/sqlgen
//
// CI does not generate anew and compare, since building sqlc takes minutes. The test of this command compares the notes
// with the SQL instead, and so finds code that is older than that.
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

	"gopkg.in/yaml.v3"

	"souk/tools/internal/repo"
)

const (
	configName = "sqlc.yaml"
	noteName   = "inputs.sum"
	// version is the one sqlc to use: another would change all that was generated.
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
		made, err := notes(fsys, dir)
		if err != nil {
			return err
		}
		for _, n := range made {
			if err := os.WriteFile(filepath.Join(root, n.path), []byte(n.text), 0o644); err != nil { //nolint:gosec // source code
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
	found, err := exec.CommandContext(ctx, program, "version").Output() //nolint:gosec // it is looked up where programs are
	if err != nil || strings.TrimSpace(string(found)) != version {
		return "", fmt.Errorf("there is no sqlc %s: go install github.com/sqlc-dev/sqlc/cmd/sqlc@%s (some minutes, once)", version, version)
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

// config is what a sqlc.yaml says of what is read and where it is written.
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

// paths are given as one, or as a list.
type paths []string

// UnmarshalYAML reads them.
func (p *paths) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*p = paths{n.Value}
		return nil
	}
	return n.Decode((*[]string)(p))
}

// note is a file that says what the code beside it was made of: a line for each input, as sha256sum writes it.
type note struct{ path, text string }

// notes returns what is to be noted of a folder as its inputs are now.
func notes(fsys fs.FS, dir string) ([]note, error) {
	name := path.Join(dir, configName)
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []note
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
		out = append(out, note{path.Join(dir, s.Gen.Go.Out, noteName), b.String()})
	}
	return out, nil
}

// sqlFiles returns a file, or of a folder those that sqlc reads: not what takes migrations back.
func sqlFiles(fsys fs.FS, p string) ([]string, error) {
	info, err := fs.Stat(fsys, p)
	if err != nil || !info.IsDir() {
		return []string{p}, err
	}
	all, err := fs.Glob(fsys, path.Join(p, "*.sql"))
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, ".down.sql") }), err
}

// stale returns the folders whose inputs are not those that were noted.
func stale(fsys fs.FS) (dirs []string, err error) {
	all, err := folders(fsys)
	if err != nil {
		return nil, err
	}
	for _, dir := range all {
		now, err := notes(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, n := range now {
			then, err := fs.ReadFile(fsys, n.path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if string(then) != n.text {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs, nil
}
