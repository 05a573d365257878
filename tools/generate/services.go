package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// servicesDir holds the registry of services, a generated Go package.
const servicesDir = publicDir + "/souk/services"

// service is one service of souk, as its folder under apps/ and its contract describe it.
type service struct {
	Name string
	// Database: its module has migrations or shared tables. Redis and Documents: its module declares them.
	Database, Redis, Documents bool
	// Contract is the name of its gRPC service, such as OrderService, "" if it has none. REST: a method has a route.
	Contract string
	REST     bool
	// Consumers are its durable consumers, and Publishes the subjects of its events.
	Consumers []consumer
	Publishes []string
	// Calls are the services that it calls, sorted.
	Calls []string
	// Glance has the lines of the section "At a glance" of doc.go by their key.
	Glance map[string]string
}

// Package is the name of the Go package of the service's contract.
func (s service) Package() string { return s.Name + "v1" }

// Doc is the service's doc.go.
func (s service) Doc() string { return "apps/" + s.Name + "/doc.go" }

// glanceKeys are the lines that the section "At a glance" must have. "Speaks" is optional, and "Reaches" too: the systems
// outside of souk to which the service connects.
var glanceKeys = []string{"Owns", "PostgreSQL", "Redis", "Consumes", "Publishes"}

// services returns all services, sorted by name: each folder apps/X with a module.go, with its contract souk.X.v1. A
// contract without such a folder is an error.
func services(root string, c *contracts) ([]service, error) {
	files, err := filepath.Glob(filepath.Join(root, "apps", "*", "module.go"))
	if err != nil {
		return nil, err
	}
	var all []service
	for _, file := range files {
		dir := filepath.Dir(file)
		s := service{Name: filepath.Base(dir)}
		module, err := moduleFields(file, s.Name)
		if err != nil {
			return nil, err
		}
		s.Database = module["Migrations"] != nil || module["Tables"] != nil
		s.Redis, s.Documents = module["Redis"] != nil, module["Documents"] != nil
		if s.Glance, err = glance(filepath.Join(dir, "doc.go")); err != nil {
			return nil, err
		}
		if s.Consumers, err = consumersOf(dir); err != nil {
			return nil, err
		}
		s.Publishes = publishedSubjects(c, s.Name)
		if err := checkReaches(dir, s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b service) int { return cmp.Compare(a.Name, b.Name) })
	methods, err := c.methods()
	if err != nil {
		return nil, err
	}
	for _, m := range methods {
		name := string(m.descriptor.ParentFile().Package().Parent().Name())
		i := slices.IndexFunc(all, func(s service) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("proto/%s has RPCs, but there is no service apps/%s",
				m.descriptor.ParentFile().Path(), name)
		}
		contract := string(m.descriptor.Parent().Name())
		if all[i].Contract != "" && all[i].Contract != contract {
			return nil, fmt.Errorf("proto/souk/%s/v1 has two gRPC services: a service has one", name)
		}
		all[i].Contract = contract
		all[i].REST = all[i].REST || len(m.routes) > 0
	}
	return all, addCalls(root, all)
}

// moduleFields returns the fields of "var Module = module.Module{…}" of a module.go. The module must have the name of
// its folder.
func moduleFields(file, name string) (map[string]ast.Expr, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var fields map[string]ast.Expr
	ast.Inspect(syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || spec.Names[0].Name != "Module" || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.CompositeLit); ok {
			fields = map[string]ast.Expr{}
			for _, e := range literal.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok {
						fields[key.Name] = kv.Value
					}
				}
			}
		}
		return true
	})
	named, ok := fields["Name"].(*ast.BasicLit)
	if !ok || named.Value != strconv.Quote(name) {
		return nil, fmt.Errorf("%s: want var Module = module.Module{Name: %q, …}: a service is named as its folder",
			file, name)
	}
	return fields, nil
}

var glanceLine = regexp.MustCompile(`^  - (\w+): (.*)$`)

// glance reads the section "At a glance" of a doc.go.
func glance(file string) (map[string]string, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return nil, err
	}
	_, section, _ := strings.Cut(syntax.Doc.Text(), "# At a glance\n\n")
	out := map[string]string{}
	last := ""
	for line := range strings.Lines(section) {
		line = strings.TrimRight(line, "\n")
		if m := glanceLine.FindStringSubmatch(line); m != nil {
			last = m[1]
			out[last] = m[2]
		} else if more, ok := strings.CutPrefix(line, "    "); ok && last != "" {
			out[last] += " " + more
		} else {
			break
		}
	}
	for _, key := range glanceKeys {
		if out[key] == "" {
			return nil, fmt.Errorf(`%s: its section "# At a glance" lacks the line "//   - %s: …" (– for nothing)`,
				file, key)
		}
	}
	return out, nil
}

var registryTemplate = template.Must(
	template.New("").Parse(`// Code generated by tools/generate from apps/ and proto/. DO NOT EDIT.

// Package services lists the services of souk.
package services

import (
	"context"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
{{range .}}{{if .Contract}}
	{{.Package}} "souk/gen/go/souk/{{.Name}}/v1"{{end}}{{end}}
)

// Service is what other parts of souk need to know about a service.
type Service struct {
	// Name is the service's name: its folder, module, configuration section, database and role.
	Name string
	// Database reports whether the service has a PostgreSQL database.
	Database bool
	// Contract is the file with the service's RPCs. It is nil if the service has none.
	Contract protoreflect.FileDescriptor
	// Publishes are the subjects of the events that the service publishes.
	Publishes []string
	// Consumers are the service's durable consumers of events.
	Consumers []Consumer
	// RegisterREST adds the service's REST routes to mux; conn reaches the service. It is nil if there are no routes.
	RegisterREST func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error
}

// Consumer is a durable consumer of events.
type Consumer struct {
	Purpose  string
	Subjects []string
}

// All returns the services, sorted by name.
func All() []Service {
	return []Service{
{{- range .}}
		{
			Name: "{{.Name}}", Database: {{.Database}},
{{- if .Contract}}
			Contract: {{.Package}}.File_souk_{{.Name}}_v1_{{.Name}}_proto,
{{- end}}
{{- if .Publishes}}
			Publishes: []string{ {{- range .Publishes}}
				"{{.}}",{{end}}
			},
{{- end}}
{{- if .Consumers}}
			Consumers: []Consumer{ {{- range .Consumers}}
				{Purpose: "{{.Purpose}}", Subjects: []string{ {{- range .Subjects}}
					"{{.}}",{{end}}
				}},{{end}}
			},
{{- end}}
{{- if .REST}}
			RegisterREST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return {{.Package}}.Register{{.Contract}}HandlerClient(ctx, mux, {{.Package}}.New{{.Contract}}Client(conn))
			},
{{- end}}
		},
{{- end}}
	}
}

// Names returns the names of the services, sorted.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// Databases returns the names of the services that have a PostgreSQL database, sorted.
func Databases() []string {
	var names []string
	for _, s := range All() {
		if s.Database {
			names = append(names, s.Name)
		}
	}
	return names
}
`),
)

// registry returns the Go package that lists the services.
func registry(all []service) ([]byte, error) {
	var b bytes.Buffer
	if err := registryTemplate.Execute(&b, all); err != nil {
		return nil, err
	}
	return format.Source(b.Bytes())
}

// serviceTables are the documents with a table of services, each with the function that writes it.
var serviceTables = map[string]func([]service) string{"README.md": overviewTable, "docs/architecture.md": dataTable}

// The lines around a generated table. What is between them is replaced.
const (
	tableBegin = "<!-- services: "
	tableEnd   = "<!-- services end -->"
)

// serviceDocs returns the documents with their tables of services up to date. A document that the tree lacks is left
// out.
func serviceDocs(root string, all []service) (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, table := range serviceTables {
		raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		before, rest, ok := strings.Cut(string(raw), tableBegin)
		comment, rest, ok2 := strings.Cut(rest, "\n")
		_, after, ok3 := strings.Cut(rest, tableEnd)
		if !ok || !ok2 || !ok3 {
			return nil, fmt.Errorf("%s: the lines %q and %q around the table of services are missing", name,
				tableBegin+"… -->", tableEnd)
		}
		out[name] = []byte(before + tableBegin + comment + "\n\n" + table(all) + "\n" + tableEnd + after)
	}
	return out, nil
}

const nothing = "–"

// overviewTable says what each service owns and speaks.
func overviewTable(all []service) string {
	var b strings.Builder
	b.WriteString("| service | owns | speaks |\n| --- | --- | --- |\n")
	for _, s := range all {
		var speaks []string
		if s.Contract != "" {
			speaks = append(speaks, "`souk."+s.Name+".v1`")
		}
		if s.Glance["Speaks"] != "" {
			speaks = append(speaks, s.Glance["Speaks"])
		}
		if e := s.Glance["Publishes"]; e != nothing {
			speaks = append(speaks, quoteEvents(e))
		}
		if e := s.Glance["Consumes"]; e != nothing {
			speaks = append(speaks, "consumes "+quoteEvents(e))
		}
		fmt.Fprintf(&b, "| [%s](%s) | %s | %s |\n", s.Name, s.Doc(), s.Glance["Owns"], strings.Join(speaks, ", "))
	}
	return b.String()
}

// dataTable says what each service keeps and which events it exchanges.
func dataTable(all []service) string {
	var b strings.Builder
	b.WriteString("| service | PostgreSQL | Redis | consumes | publishes |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range all {
		g := s.Glance
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.Name, g["PostgreSQL"], g["Redis"],
			quoteEvents(g["Consumes"]), quoteEvents(g["Publishes"]))
	}
	return b.String()
}

var eventName = regexp.MustCompile(`\bevt\.[a-z.*]+`)

func quoteEvents(s string) string { return eventName.ReplaceAllString(s, "`$0`") }

// serviceFiles returns the registry and the documents that follow from the services.
func serviceFiles(root string, c *contracts) (map[string][]byte, error) {
	all, err := services(root, c)
	if err != nil {
		return nil, err
	}
	files, err := serviceDocs(root, all)
	if err != nil {
		return nil, err
	}
	if files[path.Join(servicesDir, "services.go")], err = registry(all); err != nil {
		return nil, err
	}
	if files[eventsDoc], err = eventsPage(c, all); err != nil {
		return nil, err
	}
	files[deploymentFile] = deployment(all)
	lists, err := compose(root, all)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, lists)
	return files, nil
}
