// Command licences checks that the licences of all modules that souk and its tests are compiled from, and of the npm
// packages in the lock files, are ones that Apache-2.0 code may use and its users may pass on.
//
//	make licences
//
// It prints how many modules have which licence. The exit status is 1 if a licence is not allowed, or not recognized.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences, by their SPDX identifiers. All but MPL-2.0 only want to be named; MPL-2.0 binds changes of
// its own files.
var allowed = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
	"PostgreSQL", "Python-2.0", "Unlicense", "WTFPL", "Zlib",
}

// exceptions are the licences of npm packages whose package.json has none, by name and version.
var exceptions = map[string]string{
	"reserved 0.1.2": "MIT", // in the form "licenses" of 2014
}

// enough is the share of a licence's text, in percent, that must be recognized.
const enough = 75

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	counts, problems := map[string]int{}, []string{}
	note := func(what string, licences []string, err error) {
		if err == nil {
			err = check(licences)
		}
		if err != nil {
			problems = append(problems, what+": "+err.Error())
			return
		}
		counts[strings.Join(licences, " and ")]++
	}
	modules, err := modules()
	if err != nil {
		return err
	}
	for _, m := range modules {
		licences, err := ofFolder(m.Dir)
		note(m.Path+" "+m.Version, licences, err)
	}
	packages, err := packages(".")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		note("npm "+name, packages[name], nil)
	}
	for _, licence := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "%4d  %s\n", counts[licence], licence)
	}
	fmt.Fprintf(out, "licences: %d modules of Go, %d packages of npm\n", len(modules), len(packages))
	if len(problems) > 0 {
		return errors.New("these are not allowed, or have no licence that is recognized:\n  " +
			strings.Join(problems, "\n  "))
	}
	return nil
}

// check returns an error unless all licences are allowed.
func check(licences []string) error {
	if len(licences) == 0 {
		return errors.New("no licence")
	}
	for _, l := range licences {
		if !slices.Contains(allowed, l) {
			return errors.New(l)
		}
	}
	return nil
}

type module struct{ Path, Version, Dir string }

// modules returns the modules whose packages are compiled into souk, its tools or tests.
func modules() ([]module, error) {
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}"
	raw, err := exec.Command("go", "list", "-deps", "-test", "-f", format, "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	slices.Sort(lines)
	var out []module
	for _, line := range slices.Compact(lines) {
		if fields := strings.Fields(line); len(fields) == 3 {
			out = append(out, module{fields[0], fields[1], fields[2]})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("go list names no modules")
	}
	return out, nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`)

// ofFolder returns the licences in the files of a module's root.
func ofFolder(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		licences, err := ofText(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		for _, l := range licences {
			found[l] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// ofText returns the licences of a text.
func ofText(text []byte) ([]string, error) {
	coverage := licensecheck.Scan(text)
	if coverage.Percent < enough {
		return nil, fmt.Errorf("%.0f %% of it is a known licence", coverage.Percent)
	}
	found := map[string]bool{}
	for _, m := range coverage.Match {
		if !m.IsURL {
			found[m.ID] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// packages returns the licences of the packages in all lock files of npm below a folder, by name and version.
func packages(root string) (map[string][]string, error) {
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case d.Name() != "package-lock.json":
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return readLock(raw, out)
	})
	return out, err
}

// readLock adds the packages of a lock file.
func readLock(raw []byte, out map[string][]string) error {
	var lock struct {
		Packages map[string]struct {
			Version string
			License string
			Link    bool
		}
	}
	if err := json.Unmarshal(raw, &lock); err != nil {
		return err
	}
	const folder = "node_modules/"
	for path, p := range lock.Packages {
		at := strings.LastIndex(path, folder)
		if at < 0 || p.Link { // souk's own
			continue
		}
		name := path[at+len(folder):] + " " + p.Version
		if licence, ok := exceptions[name]; ok {
			p.License = licence
		}
		out[name] = expression(p.License)
	}
	return nil
}

// expression returns the licences of an SPDX expression: of a choice the first that is allowed, or else all.
func expression(text string) []string {
	text = strings.Trim(text, "()")
	for choice := range strings.SplitSeq(text, " OR ") {
		if slices.Contains(allowed, choice) {
			return []string{choice}
		}
	}
	return strings.FieldsFunc(strings.ReplaceAll(text, " AND ", "\n"), func(r rune) bool { return r == '\n' })
}
