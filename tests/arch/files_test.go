package arch

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

func fileRules() []rule {
	return []rule{
		{name: "modules", why: "cmd/souk lists every service: nothing registers itself", check: listedModules},
		{name: "access", why: "a contract says of every method who may call it", check: methodAccess},
		{name: "migrations", why: "what goes up comes down, in steps without gaps", check: migrationPairs},
	}
}

// listedModules finds services that cmd/souk/modules.go does not name.
func listedModules(t *tree) []finding {
	listed := map[string]bool{}
	for _, f := range t.goes {
		if f.path != "cmd/souk/modules.go" {
			continue
		}
		local := localNames(f)
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Module" {
				if x, ok := sel.X.(*ast.Ident); ok {
					listed[ours(local[x.Name])] = true
				}
			}
			return true
		})
	}
	var out []finding
	for _, f := range t.goes {
		if path.Dir(f.dir) == "apps" && path.Base(f.path) == "module.go" && !listed[f.dir] {
			out = append(out, finding{path: f.path, what: "cmd/souk/modules.go does not list it"})
		}
	}
	return out
}

var (
	rpcLine    = regexp.MustCompile(`^\s*rpc\s+(\w+)`)
	accessLine = regexp.MustCompile(`option\s*\(souk\.options\.v1\.access\)`)
)

// methodAccess finds RPC methods without an access option.
func methodAccess(t *tree) []finding {
	var out []finding
	for _, p := range t.files {
		if path.Ext(p) != ".proto" {
			continue
		}
		text, err := t.text(p)
		if err != nil {
			out = append(out, finding{path: p, what: err.Error()})
			continue
		}
		var method finding
		depth, open, said := 0, false, false
		for n, line := range strings.Split(text, "\n") {
			line, _, _ = strings.Cut(line, "//")
			if m := rpcLine.FindStringSubmatch(line); m != nil {
				method = finding{path: p, line: n + 1, what: m[1] + " has no access option"}
				depth, open, said = 0, true, false
			}
			if !open {
				continue
			}
			said = said || accessLine.MatchString(line)
			depth += strings.Count(line, "{") - strings.Count(line, "}")
			if depth == 0 && strings.ContainsAny(line, "};") {
				open = false
				if !said {
					out = append(out, method)
				}
			}
		}
	}
	return out
}

var migrationName = regexp.MustCompile(`^(\d{6})_([a-z0-9_]+)\.(up|down)\.sql$`)

// migrationPairs finds migrations that lack their counterpart, whose number leaves a gap, or that are empty.
func migrationPairs(t *tree) []finding {
	folders := map[string][]string{}
	for _, p := range t.files {
		if strings.HasSuffix(path.Dir(p), "/migrations") && path.Ext(p) == ".sql" {
			folders[path.Dir(p)] = append(folders[path.Dir(p)], p)
		}
	}
	var out []finding
	for _, files := range folders {
		slices.Sort(files)
		ups := 0
		for _, p := range files {
			m := migrationName.FindStringSubmatch(path.Base(p))
			if m == nil {
				out = append(out, finding{path: p, what: "is not named 000001_name.up.sql or .down.sql"})
				continue
			}
			other := map[string]string{"up": "down", "down": "up"}[m[3]]
			if !slices.Contains(files, strings.TrimSuffix(p, m[3]+".sql")+other+".sql") {
				out = append(out, finding{path: p, what: "there is no ." + other + ".sql"})
			}
			if m[3] == "up" {
				if ups++; m[1] != fmt.Sprintf("%06d", ups) {
					out = append(out, finding{path: p, what: fmt.Sprintf("its number should be %06d", ups)})
				}
			}
			if text, err := t.text(p); err != nil || strings.TrimSpace(text) == "" {
				out = append(out, finding{path: p, what: "is empty"})
			}
		}
	}
	return out
}
