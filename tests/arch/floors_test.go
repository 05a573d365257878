package arch

import (
	"regexp"
	"slices"
	"strings"
)

func floorRules() []rule {
	return []rule{
		{name: "packages", why: "pkg/README.md lists every package of pkg once", check: listedPackages},
		{
			name:  "floors",
			why:   "a package imports its own floor of pkg/README.md and lower ones",
			check: importsFromAbove,
		},
	}
}

const packagesPage = "pkg/README.md"

// listedPackage is a line of the packages page. Floors are numbered from the lowest.
type listedPackage struct {
	name        string
	line, floor int
}

var packageLine = regexp.MustCompile(`^- \[(\w+)\]\((\w+)\): .`)

func (t *tree) listedPackages() ([]listedPackage, error) {
	text, err := t.text(packagesPage)
	var out []listedPackage
	floor := 0
	for n, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "## ") {
			floor++
		}
		if m := packageLine.FindStringSubmatch(line); m != nil && m[1] == m[2] {
			out = append(out, listedPackage{name: m[1], line: n + 1, floor: floor})
		}
	}
	return out, err
}

// packageOf returns X for a folder pkg/X or below it; "" for other folders.
func packageOf(dir string) string {
	rest, _ := strings.CutPrefix(dir, "pkg/")
	name, _, _ := strings.Cut(rest, "/")
	if rest == dir {
		return ""
	}
	return name
}

// listedPackages compares the packages page with the folders of pkg.
func listedPackages(t *tree) []finding {
	listed, err := t.listedPackages()
	if err != nil {
		return []finding{{path: packagesPage, what: err.Error()}}
	}
	there := map[string]bool{}
	for _, f := range t.goes {
		if name := packageOf(f.dir); name != "" {
			there[name] = true
		}
	}
	var out []finding
	for i, p := range listed {
		switch {
		case !there[p.name]:
			out = append(out, finding{path: packagesPage, line: p.line, what: p.name + " is not there"})
		case slices.ContainsFunc(listed[:i], func(q listedPackage) bool { return p.name == q.name }):
			out = append(out, finding{path: packagesPage, line: p.line, what: p.name + " is listed twice"})
		}
	}
	for name := range there {
		if !slices.ContainsFunc(listed, func(p listedPackage) bool { return p.name == name }) {
			out = append(out, finding{path: "pkg/" + name, what: packagesPage + " does not list it"})
		}
	}
	return out
}

// importsFromAbove finds imports of a higher floor, outside of tests and test kits.
func importsFromAbove(t *tree) []finding {
	listed, err := t.listedPackages()
	if err != nil {
		return []finding{{path: packagesPage, what: err.Error()}}
	}
	floors := map[string]int{}
	for _, p := range listed {
		floors[p.name] = p.floor
	}
	var out []finding
	for _, f := range t.goes {
		mine := packageOf(f.dir)
		if mine == "" || f.test || testKit(f.dir) {
			continue
		}
		for _, i := range f.imports {
			if other := packageOf(ours(i.path)); floors[other] > floors[mine] {
				out = append(out, finding{path: f.path, line: i.line, what: mine + " imports " + other})
			}
		}
	}
	return out
}
