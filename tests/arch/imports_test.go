package arch

import (
	"path"
	"slices"
	"strings"
)

// importRule returns a rule that calls ask for each import of each file. Ask returns what is wrong; "" allows the
// import.
func importRule(name, why string, ask func(f *goFile, imported string) string) rule {
	return rule{name: name, why: why, check: func(t *tree) []finding {
		var out []finding
		for _, f := range t.goes {
			for _, i := range f.imports {
				if what := ask(f, i.path); what != "" {
					out = append(out, finding{path: f.path, line: i.line, what: what})
				}
			}
		}
		return out
	}}
}

func importRules() []rule {
	return []rule{
		importRule("services", "services know each other by contract alone", func(f *goFile, imported string) string {
			if mine, other := service(f.path), service(ours(imported)); mine != "" && other != "" && mine != other {
				return mine + " imports " + imported
			}
			return ""
		}),
		importRule(
			"below",
			"pkg is what services stand on; gen is what is generated from contracts",
			func(f *goFile, imported string) string {
				dir := ours(imported)
				if within(f.path, "pkg") &&
					(within(dir, "apps") || within(dir, "cmd") || within(dir, "tests") || within(dir, "tools")) {
					return "pkg imports " + imported
				}
				return ""
			},
		),
		importRule("domain",
			"a domain holds rules, without any input or output: the standard library, pkg/errs, pkg/id, "+
				"pkg/mailbox, pkg/money, pkg/permission, pkg/postal",
			domainImport),
		importRule(
			"service",
			"use cases see the domain, pkg, and interfaces that they declare",
			func(f *goFile, imported string) string {
				return layerImport(f, imported, "service", "handler", "repository")
			},
		),
		importRule(
			"handler",
			"what comes in sees the use cases, never the tables",
			func(f *goFile, imported string) string {
				return layerImport(f, imported, "handler", "repository")
			},
		),
		importRule(
			"repository",
			"what goes out sees the domain, never its callers",
			func(f *goFile, imported string) string {
				return layerImport(f, imported, "repository", "service", "handler")
			},
		),
		importRule(
			"drivers",
			"pgx, MongoDB and Redis appear in repository packages, store.go, the packages of pkg that own them, "+
				"and the operators' tools",
			driverImport,
		),
		importRule("nats", "NATS appears where messages are carried, and in the operators' tools", natsImport),
		importRule(
			"batching",
			"repositories batch their callers' work: use cases and domains don't know of it",
			func(f *goFile, imported string) string {
				if imported == modulePath+"/pkg/batch" && !f.test &&
					(layer(f.dir) == "domain" || layer(f.dir) == "service" || layer(f.dir) == "handler") {
					return layer(f.dir) + " imports " + imported
				}
				return ""
			},
		),
		importRule("dig", "dependency injection is private to pkg/module", func(f *goFile, imported string) string {
			if within(imported, "go.uber.org/dig") && f.dir != "pkg/module" {
				return "imports " + imported
			}
			return ""
		}),
		importRule("testkits", "test helpers are for tests", func(f *goFile, imported string) string {
			if f.test || testKit(f.dir) {
				return ""
			}
			for _, p := range []string{"github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid"} {
				if within(imported, p) {
					return "imports " + imported
				}
			}
			if dir := ours(imported); dir != "" && testKit(dir) {
				return "imports " + imported
			}
			return ""
		}),
		{name: "unused", why: "code that nothing uses is deleted", check: unusedPackages},
		{
			name:  "allowed",
			why:   "an entry of an allow list that allows nothing hides the next mistake",
			check: emptyAllowances,
		},
		{name: "names", why: "a package is one noun that says what it owns", check: packageNames},
	}
}

// touchesWorld are the standard library's packages that do input or output, which a domain must not do.
var touchesWorld = []string{
	"os",
	"net",
	"net/http",
	"net/rpc",
	"net/smtp",
	"database/sql",
	"syscall",
	"io/fs",
	"log",
	"embed",
}

func domainImport(f *goFile, imported string) string {
	if layer(f.dir) != "domain" || f.test {
		return ""
	}
	dir := ours(imported)
	switch {
	case slices.Contains([]string{"pkg/errs", "pkg/id", "pkg/mailbox", "pkg/money", "pkg/permission", "pkg/postal"}, dir):
	case within(imported, "golang.org/x/text/unicode"): // tables, as the standard library's
	case service(dir) == service(f.dir) && layer(dir) == "domain":
	case standard(imported) && !slices.ContainsFunc(touchesWorld, func(p string) bool {
		return imported == p || within(imported, p) && p != "net" // net/url and net/netip only parse
	}):
	default:
		return "domain imports " + imported
	}
	return ""
}

// layerImport finds imports of a service's layer that another layer of it must not see.
func layerImport(f *goFile, imported, from string, hidden ...string) string {
	dir := ours(imported)
	if f.test || layer(f.dir) != from || service(dir) != service(f.dir) || !slices.Contains(hidden, layer(dir)) {
		return ""
	}
	return from + " imports " + imported
}

// operators are the packages of cmd/souk with which operators check and repair databases and streams, outside of the
// services. Explain only reads pgx's errors.
var operators = []string{
	"cmd/souk/internal/operate", "cmd/souk/internal/verify", "cmd/souk/internal/explain", "cmd/souk/internal/jobsui",
}

// driverOwners are the packages of pkg that may import a driver, by driver.
var driverOwners = map[string][]string{
	"github.com/jackc": {
		"postgres",
		"pgtest",
		"migration",
		"document",
		"outbox",
		"saga",
		"jobs",
		"cqrs",
		"module",
		"devstack",
	},
	"database/sql":          nil,
	"github.com/redis":      {"redisx", "redistest", "cache", "ratelimit", "module"},
	"go.mongodb.org":        {"document"},
	"github.com/riverqueue": {"jobs"},
}

func driverImport(f *goFile, imported string) string {
	if f.test || testKit(f.dir) {
		return ""
	}
	for driver, owners := range driverOwners {
		if !within(imported, driver) {
			continue
		}
		if slices.ContainsFunc(owners, func(o string) bool { return within(f.dir, "pkg/"+o) }) || tables(f) {
			return ""
		}
		return "imports " + imported
	}
	return ""
}

// tables reports whether a file may access databases: the repository files of services, and the operators' tools.
func tables(f *goFile) bool {
	if slices.ContainsFunc(operators, func(dir string) bool { return within(f.dir, dir) }) {
		return true
	}
	if within(f.dir, "tools/servicegen/templates") { // the rule applies to what is written from them
		return true
	}
	if service(f.path) == "" {
		return false
	}
	switch {
	case layer(f.dir) == "repository":
		return true
	case within(f.dir, "apps/payment/internal/sandbox"): // the sandbox provider is its own repository
		return true
	// a service of the small shape
	case layer(f.dir) != "" && (path.Base(f.path) == "store.go" || path.Base(f.dir) == "sqlc"):
		return true
	}
	return false
}

// natsUsers may import NATS's client or server.
var natsUsers = []string{
	"pkg/natsrpc",
	"pkg/natsauth",
	"apps/natsauth",
	"cmd/souk/internal/dev",
	"pkg/event",
	"pkg/outbox",
	"pkg/module",
	"pkg/devstack",
	"pkg/natstest",
	"cmd/souk/internal/operate",
	"cmd/souk/internal/verify",
}

func natsImport(f *goFile, imported string) string {
	if f.test || testKit(f.dir) && !within(f.dir, "apps") {
		return ""
	}
	if !within(imported, "github.com/nats-io") && !within(imported, "github.com/synadia-io") {
		return ""
	}
	if slices.ContainsFunc(natsUsers, func(dir string) bool { return within(f.dir, dir) }) {
		return ""
	}
	return "imports " + imported
}

var vagueNames = []string{
	"util",
	"utils",
	"common",
	"helper",
	"helpers",
	"model",
	"models",
	"type",
	"types",
	"misc",
	"shared",
	"base",
}

func packageNames(t *tree) []finding {
	var out []finding
	seen := map[string]bool{}
	for _, f := range t.goes {
		name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		for _, n := range []string{name, path.Base(f.dir)} {
			if slices.Contains(vagueNames, n) && !seen[f.dir] {
				seen[f.dir] = true
				out = append(out, finding{path: f.dir, what: "package " + n})
			}
		}
	}
	return out
}

// unusedPackages finds packages of pkg that no other package imports, in tests or outside of them.
func unusedPackages(t *tree) []finding {
	imported := map[string]bool{}
	for _, f := range t.goes {
		for _, i := range f.imports {
			if dir := ours(i.path); dir != f.dir {
				imported[dir] = true
			}
		}
	}
	var out []finding
	seen := map[string]bool{}
	for _, f := range t.goes {
		if within(f.dir, "pkg") && !f.test && !imported[f.dir] && !seen[f.dir] {
			seen[f.dir] = true
			out = append(out, finding{path: f.dir, what: "nothing imports it"})
		}
	}
	return out
}

// emptyAllowances finds entries of driverOwners, operators and natsUsers for folders that do not import what they may.
// Entries for a folder that the tree lacks are findings too.
func emptyAllowances(t *tree) []finding {
	var out []finding
	check := func(dir string, imports ...string) {
		for _, f := range t.goes {
			if within(f.dir, dir) && slices.ContainsFunc(f.imports, func(i goImport) bool {
				return slices.ContainsFunc(imports, func(p string) bool { return within(i.path, p) })
			}) {
				return
			}
		}
		out = append(out, finding{path: dir, what: "may import " + strings.Join(imports, " and ") + ", and does not"})
	}
	for driver, owners := range driverOwners {
		for _, o := range owners {
			check("pkg/"+o, driver)
		}
	}
	for _, dir := range operators {
		check(dir, "github.com/jackc")
	}
	for _, dir := range natsUsers {
		check(dir, "github.com/nats-io", "github.com/synadia-io")
	}
	return out
}
