package main

import (
	"errors"
	"fmt"
	"go/build/constraint"
	"go/scanner"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// spec is the service to write.
type spec struct {
	Name     string
	Shape    string // storage or rules
	Database string // postgres, documents or none
	Entities []entity
}

// entity is a resource of the service, such as item and items.
type entity struct{ One, Many string }

const (
	// maxEntities keeps the files of the storage shape, which hold all entities, below tests/arch's limit.
	maxEntities = 4
	databases   = "postgres, documents or none"
	shapes      = "storage or rules"
)

var (
	// word is short enough that no line of the service gets too long.
	word = regexp.MustCompile(`^[a-z]{2,12}$`)
	// reserved are names with another meaning to the configuration, to commands, to tests/arch and to Go.
	reserved = strings.Fields(`admin cache documents identity log nats postgres redis rpc telemetry vault all
		base common helper helpers misc model models shared type types util utils
		internal main services testdata tests vendor`)
	// clashing are the names of entities that generated code needs for something else.
	clashing = []string{"descriptor", "reset"}
)

// newSpec returns the spec of the flags, checked by everything but the tree.
func newSpec(name, shape, database, entities string) (spec, error) {
	s := spec{Name: name, Shape: shape, Database: database}
	if shape != "storage" && shape != "rules" {
		return s, fmt.Errorf("--shape=%s: choose %s", shape, shapes)
	}
	if database != "postgres" && database != "documents" && database != "none" {
		return s, fmt.Errorf("--database=%s: choose %s", database, databases)
	}
	if err := checkWord(name); err != nil {
		return s, fmt.Errorf("--name=%s: %w", name, err)
	}
	if slices.Contains(reserved, name) || strings.HasSuffix(name, "test") {
		return s, fmt.Errorf("--name=%s: the name has another meaning in souk", name)
	}
	seen := map[string]bool{}
	for given := range strings.SplitSeq(entities, ",") {
		if given == "" {
			continue
		}
		e := entity{}
		e.One, e.Many, _ = strings.Cut(given, ":")
		if e.Many == "" {
			e.Many = plural(e.One)
		}
		if err := errors.Join(checkWord(e.One), checkWord(e.Many)); err != nil {
			return s, fmt.Errorf("--entities: %q: %w", given, err)
		}
		if slices.Contains(clashing, e.One) {
			return s, fmt.Errorf("--entities: %q: the name has another meaning in the service's code", given)
		}
		if seen[e.One] || seen[e.Many] || e.One == e.Many {
			return s, fmt.Errorf("--entities: %q: its singular or plural is there twice", given)
		}
		seen[e.One], seen[e.Many] = true, true
		s.Entities = append(s.Entities, e)
	}
	switch n := len(s.Entities); {
	case database == "none" && n > 0:
		return s, errors.New("--entities: a service without a database keeps nothing: leave them out")
	case database != "none" && n == 0:
		return s, errors.New("--entities: name at least one, such as --entities=list,item")
	case n > maxEntities:
		return s, fmt.Errorf("--entities: at most %d: a service that owns more should be two", maxEntities)
	}
	return s, nil
}

func checkWord(s string) error {
	switch {
	case !word.MatchString(s):
		return errors.New("want one word of 2 to 12 lower-case letters")
	case token.IsKeyword(s):
		return errors.New("it is a keyword of Go")
	case types.Universe.Lookup(s) != nil:
		return errors.New("it is predeclared in Go")
	}
	return nil
}

// plural returns the regular plural of an English noun.
func plural(s string) string {
	switch n := len(s); {
	case n > 1 && s[n-1] == 'y' && !strings.ContainsRune("aeiou", rune(s[n-2])):
		return s[:n-1] + "ies"
	case strings.HasSuffix(s, "s"), strings.HasSuffix(s, "x"), strings.HasSuffix(s, "ch"), strings.HasSuffix(s, "sh"):
		return s + "es"
	}
	return s + "s"
}

// free returns an error if the tree under root has a service or package of the name, or a route or identifier of an
// entity, or if the service's code needs one of the names for something else.
func (s spec) free(root string) error {
	for _, dir := range []string{"apps", "proto/souk", "gen/go/souk", "pkg"} {
		taken := filepath.Join(root, filepath.FromSlash(dir), s.Name)
		if _, err := os.Lstat(taken); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--name=%s: the name is taken by %s/%s", s.Name, dir, s.Name)
		}
	}
	used, err := identifiers(root)
	if err != nil {
		return err
	}
	if used[s.Name] {
		return fmt.Errorf("--name=%s: the name has another meaning in souk's code", s.Name)
	}
	prefixes, err := os.ReadFile(filepath.Join(root, "pkg", "id", "id.go"))
	if err != nil {
		return err
	}
	contracts, err := filepath.Glob(filepath.Join(root, "proto", "souk", "*", "v1", "*.proto"))
	if err != nil {
		return err
	}
	for _, e := range s.Entities {
		if used[title(e.One)] || used[e.Many] {
			return fmt.Errorf("--entities: %q: the name has another meaning in the service's code", e.One)
		}
		if strings.Contains(string(prefixes), `= "`+e.One+`"`) {
			return fmt.Errorf("--entities: %q: pkg/id has identifiers with this prefix", e.One)
		}
		route := regexp.MustCompile(`"/v1/` + e.Many + `["/:]`)
		for _, file := range contracts {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if route.Match(text) {
				return fmt.Errorf("--entities: %q: %s has the route /v1/%s", e.One, filepath.Base(file), e.Many)
			}
		}
	}
	return nil
}

// identifiers returns the identifiers of the templates and of the code that lists services, without those after a dot.
func identifiers(root string) (map[string]bool, error) {
	out := map[string]bool{}
	collect := func(fsys fs.FS, pattern string) error {
		names, err := fs.Glob(fsys, pattern)
		for _, name := range names {
			text, readErr := fs.ReadFile(fsys, name)
			err = errors.Join(err, readErr)
			var s scanner.Scanner
			s.Init(token.NewFileSet().AddFile(name, -1, len(text)), text, nil, 0)
			for last := token.ILLEGAL; last != token.EOF; {
				_, kind, literal := s.Scan()
				if kind == token.IDENT && last != token.PERIOD {
					out[literal] = true
				}
				last = kind
			}
		}
		return err
	}
	tree := os.DirFS(root)
	return out, errors.Join(collect(templates, "templates/app/*.go"), collect(templates, "templates/app/*/*.go"),
		collect(templates, "templates/app/internal/*/*.go"),
		collect(tree, "cmd/souk/*.go"))
}

// holds evaluates a build constraint such as "rules && !none".
func (s spec) holds(expression string) (bool, error) {
	x, err := constraint.Parse("//go:build " + expression)
	if err != nil {
		return false, err
	}
	return x.Eval(func(tag string) bool { return tag == s.Shape || tag == s.Database }), nil
}
