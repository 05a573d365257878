package main

import (
	"errors"
	"flag"
	"fmt"
	"go/format"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"souk/tools/internal/repo"
)

func main() {
	root, err := repo.Root()
	if err == nil {
		err = run(root, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "servicegen:", err)
		os.Exit(1)
	}
}

// run writes the service that the arguments describe into the tree under root.
func run(root string, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("servicegen", flag.ContinueOnError)
	flags.SetOutput(out)
	name := flags.String("name", "", "the service's name, such as wishlist")
	shape := flags.String("shape", "storage", shapes+": how the service's code is divided; see CONTRIBUTING.md")
	database := flags.String("database", "postgres", databases+": where the entities are kept")
	entities := flags.String("entities", "", "what a user owns, such as list,item or person:people.\n"+
		"A service without a database has none: it gets one method that computes an answer")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s, err := newSpec(*name, *shape, *database, *entities)
	if err != nil {
		return err
	}
	if err := s.free(root); err != nil {
		return err
	}
	written, err := s.render()
	if err != nil {
		return err
	}
	changed, err := s.register(root)
	if err != nil {
		return err
	}
	for _, f := range written {
		if err := create(root, f); err != nil {
			return err
		}
		fmt.Fprintln(out, "wrote  ", f.path)
	}
	for _, f := range changed {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(f.path)), []byte(f.text), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(out, "changed", f.path)
	}
	_, err = fmt.Fprintf(out, `
Next, generate the code of the contract, and test the service:

  make generate
  go run ./tools/testenv -- go test ./apps/%s/... ./cmd/souk ./tests/arch
`, s.Name)
	return err
}

// create writes a new file. It overwrites nothing.
func create(root string, f file) error {
	name := filepath.Join(root, filepath.FromSlash(f.path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, f.text)
	return errors.Join(err, w.Close())
}

// register returns the files that list services, with the service in them.
func (s spec) register(root string) ([]file, error) {
	raw, err := templates.ReadFile("templates/docs/configuration.md")
	if err != nil {
		return nil, err
	}
	settings, err := s.expand(string(raw), s.names())
	if err != nil {
		return nil, err
	}
	var out []file
	for _, c := range []struct {
		path  string
		edits [][2]string // what is replaced, once, and by what
	}{
		{"cmd/souk/modules.go", [][2]string{
			{"\t\"souk/apps/auth\"\n", "\t\"souk/apps/auth\"\n\t\"souk/apps/" + s.Name + "\"\n"},
			{"gateway.Module,", s.Name + ".Module, gateway.Module,"},
		}},
		{"docs/configuration.md", [][2]string{
			{"## Variables that are not settings\n", settings + "## Variables that are not settings\n"},
		}},
	} {
		raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(c.path)))
		if err != nil {
			return nil, err
		}
		text := string(raw)
		for _, e := range c.edits {
			if !strings.Contains(text, e[0]) {
				return nil, fmt.Errorf("%s lacks %q, where the service has to be added", c.path, e[0])
			}
			text = strings.Replace(text, e[0], e[1], 1)
		}
		if path.Ext(c.path) == ".go" {
			b, err := format.Source([]byte(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.path, err)
			}
			text = string(b)
		}
		out = append(out, file{c.path, text})
	}
	return out, nil
}
