package main

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// profileBlocks are the blocks of all profiles by file and position, such as "souk/pkg/id/id.go:12.2,14.3".
type profileBlocks map[string]block

type block struct {
	statements int
	covered    bool
}

func (b profileBlocks) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	err = b.read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// read adds a profile in Go's text form. A block occurs once for each test binary that has it.
func (b profileBlocks) read(r io.Reader) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if strings.HasPrefix(s.Text(), "mode:") {
			continue
		}
		fields := strings.Fields(s.Text()) // position, statements, executions
		if len(fields) != 3 {
			return fmt.Errorf("line of a profile: %q", s.Text())
		}
		statements, err := strconv.Atoi(fields[1])
		if err != nil {
			return fmt.Errorf("line of a profile: %q", s.Text())
		}
		b[fields[0]] = block{statements: statements, covered: b[fields[0]].covered || fields[2] != "0"}
	}
	return s.Err()
}

// figure is how much of a package is covered.
type figure struct {
	name                string
	statements, covered int
}

func (f figure) percent() float64 {
	if f.statements == 0 {
		return 100
	}
	return 100 * float64(f.covered) / float64(f.statements)
}

// byPackage sums the blocks of hand-written files. fsys is the repository.
func (b profileBlocks) byPackage(fsys fs.FS) ([]figure, error) {
	written := map[string]bool{}
	sums := map[string]figure{}
	for position, one := range b {
		file, _, _ := strings.Cut(strings.TrimPrefix(position, modulePath), ":")
		if _, known := written[file]; !known {
			var err error
			if written[file], err = handWritten(fsys, file); err != nil {
				return nil, err
			}
		}
		if !written[file] {
			continue
		}
		sum := sums[path.Dir(file)]
		sum.name = path.Dir(file)
		sum.statements += one.statements
		if one.covered {
			sum.covered += one.statements
		}
		sums[sum.name] = sum
	}
	var out []figure
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, sums[name])
	}
	return out, nil
}

func handWritten(fsys fs.FS, file string) (bool, error) {
	if strings.HasPrefix(file, templatesDir) {
		return false, nil
	}
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return false, err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return false, err
	}
	return !ast.IsGenerated(syntax), nil
}

// report prints the packages below the limit and the total. It fails if the total is below it.
func report(w io.Writer, figures []figure) error {
	var total figure
	for _, f := range figures {
		total.statements += f.statements
		total.covered += f.covered
		if f.percent() < least {
			if _, err := fmt.Fprintf(w, "%5.1f %%  %s (%d of %d statements)\n",
				f.percent(), f.name, f.covered, f.statements); err != nil {
				return err
			}
		}
	}
	if total.statements == 0 {
		return errors.New("the profiles have no hand-written code")
	}
	if _, err := fmt.Fprintf(w, "%5.1f %%  total (%d of %d statements, %d packages)\n",
		total.percent(), total.covered, total.statements, len(figures)); err != nil {
		return err
	}
	if total.percent() < least {
		return fmt.Errorf("%.1f %% of hand-written code is covered; at least %.0f %% must be", total.percent(), least)
	}
	return nil
}
