package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"souk/pkg/errs"
	"souk/pkg/secrets"
)

// Prefix begins the name of every environment variable that souk reads.
const Prefix = "SOUK_"

// outside lists variables that have the prefix but are not settings. A trailing * matches any suffix.
var outside = []string{"SOUK_TEST_*", "SOUK_FAILPOINTS", "SOUK_CONFIG"}

// Tree holds the settings of a process. It is immutable and safe for concurrent use.
type Tree struct {
	layers    []layer // lowest precedence first: given defaults, file
	env       map[string]string
	overrides []layer
	allow     []string
	secrets   *secrets.Store
}

// layer is one source of settings in tree form.
type layer struct {
	name string
	root *yaml.Node // a mapping; nil if empty
}

// Load reads the file at path and the SOUK_ variables of environ, which has the form of os.Environ.
// An empty path means no file. Variables in allow are ignored although they begin with SOUK_; a
// trailing * matches any suffix.
//
// Errors: invalid_argument (the file cannot be read or is not a YAML mapping).
func Load(path string, environ []string, allow ...string) (*Tree, error) {
	t := &Tree{env: map[string]string{}, allow: slices.Concat(outside, allow), secrets: secrets.NewStore(environ)}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, Prefix) && !t.allowed(name) {
			t.env[name] = value
		}
	}
	if path == "" {
		return t, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "config: cannot read %s: %v", path, err)
	}
	root, err := parse(raw)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "config: %s: %v", path, err)
	}
	t.layers = append(t.layers, layer{name: path, root: root})
	return t, nil
}

// FromMap returns a tree of m alone, without file and environment.
//
// Errors: invalid_argument.
func FromMap(m map[string]any) (*Tree, error) {
	return (&Tree{allow: outside, secrets: secrets.NewStore(nil)}).WithDefaults(m)
}

// WithDefaults returns a tree in which m, e.g. {"redis": {"addr": "127.0.0.1:6379"}}, applies where
// neither the file nor the environment sets a value.
//
// Errors: invalid_argument.
func (t *Tree) WithDefaults(m map[string]any) (*Tree, error) {
	root, err := fromMap(m)
	if err != nil {
		return nil, err
	}
	c := *t
	c.layers = slices.Insert(slices.Clone(t.layers), 0, layer{name: "built-in defaults", root: root})
	return &c, nil
}

// WithOverrides returns a tree in which m takes precedence over the file and the environment.
//
// Errors: invalid_argument.
func (t *Tree) WithOverrides(m map[string]any) (*Tree, error) {
	root, err := fromMap(m)
	if err != nil {
		return nil, err
	}
	c := *t
	c.overrides = append(slices.Clone(t.overrides), layer{name: "command line", root: root})
	return &c, nil
}

// CheckSections fails if the file has a section twice, or one that does not belong to one of known, or if the
// environment has a variable of no section. A section may be a path such as "services.order". The file may have known
// sections that this process never decodes.
//
// Errors: invalid_argument.
func (t *Tree) CheckSections(known ...string) error {
	var p problems
	for _, l := range slices.Concat(t.layers, t.overrides) {
		if l.root != nil {
			checkKeys(&p, l, l.root, "", known)
		}
	}
	for _, name := range t.sortedEnv() {
		if slices.ContainsFunc(known, func(s string) bool { return strings.HasPrefix(name, envName(s)+"_") }) {
			continue
		}
		p.add(name, "no setting has this variable%s", suggestSection(name, known))
	}
	return p.err()
}

func checkKeys(p *problems, l layer, m *yaml.Node, path string, known []string) {
	var here []string
	for _, s := range known {
		if rest, ok := strings.CutPrefix(s, path); ok {
			first, _, _ := strings.Cut(rest, ".")
			here = append(here, first)
		}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], resolve(m.Content[i+1])
		full := path + key.Value
		if seen[key.Value] {
			p.add(full, "stands there twice%s", l.at(key))
			continue
		}
		seen[key.Value] = true
		switch {
		case slices.Contains(known, full):
		case slices.Contains(here, key.Value) && value.Kind == yaml.MappingNode:
			checkKeys(p, l, value, full+".", known)
		case slices.Contains(here, key.Value) && isNull(value):
		default:
			p.add(full, "unknown section%s%s", l.at(key), suggest(key.Value, here))
		}
	}
}

// section returns the node at the path, or nil if the layer has no such section.
func (l layer) section(path string) (*yaml.Node, error) {
	n := l.root
	for _, name := range strings.Split(path, ".") {
		if n == nil || isNull(n) {
			return nil, nil
		}
		if n.Kind != yaml.MappingNode {
			return nil, errs.InvalidField(path, "must be a section%s", l.at(n))
		}
		n = lookup(n, name)
	}
	return n, nil
}

func (l layer) at(n *yaml.Node) string {
	if n.Line == 0 {
		return " (" + l.name + ")"
	}
	return fmt.Sprintf(" (%s, line %d)", l.name, n.Line)
}

func (t *Tree) allowed(name string) bool {
	return slices.ContainsFunc(t.allow, func(a string) bool {
		if p, ok := strings.CutSuffix(a, "*"); ok {
			return strings.HasPrefix(name, p)
		}
		return a == name
	})
}

func (t *Tree) sortedEnv() []string {
	names := make([]string, 0, len(t.env))
	for n := range t.env {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func parse(raw []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one YAML document")
	}
	root := resolve(doc.Content[0])
	if isNull(root) {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("is not a mapping of sections")
	}
	return root, nil
}

func fromMap(m map[string]any) (*yaml.Node, error) {
	var n yaml.Node
	if err := n.Encode(m); err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "config: %v", err)
	}
	return &n, nil
}

func lookup(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return resolve(m.Content[i+1])
		}
	}
	return nil
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
