package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"souk/pkg/errs"
)

// Validator is a section that can check whether its values are consistent.
type Validator interface {
	Validate() error
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	yamlType     = reflect.TypeFor[yaml.Unmarshaler]()
)

// Section is a section to decode.
type Section struct {
	Name string
	// Into is a pointer to a struct that holds the defaults.
	Into any
}

// Decode fills into, a pointer to a struct that holds the defaults, with the settings of a
// section. It then calls the struct's Validate method, if it has one. Validate reports several
// mistakes with [errors.Join].
//
// Errors: invalid_argument (one field per mistake: an unknown key or variable, a value of the wrong
// type, or a mistake that Validate reports).
func (t *Tree) Decode(section string, into any) error {
	return t.DecodeAll(Section{Name: section, Into: into})
}

// DecodeAll is [Tree.Decode] for several sections. It reports the mistakes of all of them at once.
//
// Errors: invalid_argument.
func (t *Tree) DecodeAll(sections ...Section) error {
	var p problems
	for _, s := range sections {
		v := reflect.ValueOf(s.Into)
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return errs.New(errs.Internal, "config: %s: want a pointer to a struct, got %T", s.Name, s.Into)
		}
		t.apply(&p, s.Name, v.Elem())
		t.resolve(&p, s.Name, v.Elem())
		if val, ok := s.Into.(Validator); ok {
			p.invalid(s.Name, val.Validate())
		}
	}
	return p.err()
}

// Parse fills sections as [Tree.DecodeAll] does, but resolves no references to secrets and validates nothing. It is for
// tools that show or write configurations.
//
// Errors: invalid_argument.
func (t *Tree) Parse(sections ...Section) error {
	var p problems
	for _, s := range sections {
		t.apply(&p, s.Name, reflect.ValueOf(s.Into).Elem())
	}
	return p.err()
}

// apply sets v to the settings of a section.
func (t *Tree) apply(p *problems, section string, v reflect.Value) {
	t.applyLayers(p, t.layers, section, v)
	t.applyEnv(p, section, v)
	t.applyLayers(p, t.overrides, section, v)
}

func (t *Tree) applyLayers(p *problems, layers []layer, section string, v reflect.Value) {
	for _, l := range layers {
		n, err := l.section(section)
		if err != nil {
			p.add(section, "must be a section")
		}
		if n != nil {
			l.apply(p, section, n, v)
		}
	}
}

// apply sets v to the value of n. It walks structs, and structs in lists and maps, so that every
// mistake is reported with its path. The YAML library decodes the leaves.
func (l layer) apply(p *problems, path string, n *yaml.Node, v reflect.Value) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	switch {
	case isStruct(v.Type()):
		l.applyStruct(p, path, n, v)
	case v.Kind() == reflect.Pointer && isStruct(v.Type().Elem()):
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		l.applyStruct(p, path, n, v.Elem())
	case v.Kind() == reflect.Slice && isStruct(v.Type().Elem()):
		if n.Kind != yaml.SequenceNode {
			p.add(path, "must be a list%s", l.at(n))
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			l.apply(p, fmt.Sprintf("%s[%d]", path, i), item, list.Index(i))
		}
		v.Set(list)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String && isStruct(v.Type().Elem()):
		l.applyMap(p, path, n, v)
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			p.add(path, "must be %s%s%s", kindName(v.Type()), not(v.Type(), n.Value), l.at(n))
		}
	}
}

func (l layer) applyStruct(p *problems, path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		p.add(path, "must be a section%s", l.at(n))
		return
	}
	fields := fieldsOf(v)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		full := path + "." + key.Value
		f, ok := fields.byKey[key.Value]
		switch {
		case !ok:
			p.add(full, "unknown key%s%s", l.at(key), suggest(key.Value, fields.keys))
		case seen[key.Value]:
			p.add(full, "stands there twice%s", l.at(key))
		default:
			l.apply(p, full, n.Content[i+1], f)
		}
		seen[key.Value] = true
	}
}

func (l layer) applyMap(p *problems, path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		p.add(path, "must be a mapping%s", l.at(n))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value).Convert(v.Type().Key())
		item := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(key); old.IsValid() {
			item.Set(old)
		}
		l.apply(p, path+"."+n.Content[i].Value, n.Content[i+1], item)
		v.SetMapIndex(key, item)
	}
}

func (t *Tree) applyEnv(p *problems, section string, v reflect.Value) {
	prefix := envName(section) + "_"
	leaves := map[string]leaf{}
	collectLeaves(leaves, prefix, section, v)
	var names []string
	for n := range leaves {
		names = append(names, n)
	}
	for _, name := range t.sortedEnv() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		f, ok := leaves[name]
		if !ok {
			p.add(name, "no setting has this variable%s", suggestVariable(name, prefix, names))
			continue
		}
		if err := setText(f.value, t.env[name]); err != nil {
			p.add(
				f.path,
				"must be %s%s (variable %s)",
				kindName(f.value.Type()),
				not(f.value.Type(), t.env[name]),
				name,
			)
		}
	}
}

type leaf struct {
	path  string
	value reflect.Value
}

func collectLeaves(into map[string]leaf, prefix, path string, v reflect.Value) {
	fields := fieldsOf(v)
	for _, key := range fields.keys {
		f := fields.byKey[key]
		name := prefix + upperSnake(key)
		if isStruct(f.Type()) {
			collectLeaves(into, name+"_", path+"."+key, f)
			continue
		}
		into[name] = leaf{path: path + "." + key, value: f}
	}
}

// setText sets v to the value of a variable. It splits lists and maps; everything else is read as YAML.
func setText(v reflect.Value, s string) error {
	switch {
	case implementsText(v.Type()):
		return decodeScalar(v, s)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		parts := splitList(s)
		list := reflect.MakeSlice(v.Type(), len(parts), len(parts))
		for i, part := range parts {
			if err := setText(list.Index(i), part); err != nil {
				return err
			}
		}
		v.Set(list)
		return nil
	case v.Kind() == reflect.Map:
		m := reflect.MakeMap(v.Type())
		for _, part := range splitList(s) {
			key, value, ok := strings.Cut(part, "=")
			if !ok {
				return errs.New(errs.Invalid, "want key=value")
			}
			item := reflect.New(v.Type().Elem()).Elem()
			if err := setText(item, strings.TrimSpace(value)); err != nil {
				return err
			}
			m.SetMapIndex(reflect.ValueOf(strings.TrimSpace(key)).Convert(v.Type().Key()), item)
		}
		v.Set(m)
		return nil
	default:
		return decodeScalar(v, s)
	}
}

// decodeScalar takes a string literally and reads anything else as YAML does.
func decodeScalar(v reflect.Value, s string) error {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if v.Kind() == reflect.String || implementsText(v.Type()) {
		n.Tag = "!!str"
	} else if strings.TrimSpace(s) == "" {
		return errs.New(errs.Invalid, "is empty")
	}
	return n.Decode(v.Addr().Interface())
}

func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

type structFields struct {
	keys  []string
	byKey map[string]reflect.Value
}

func fieldsOf(v reflect.Value) structFields {
	out := structFields{byKey: map[string]reflect.Value{}}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || tag == "-":
		case slices.Contains(strings.Split(opts, ","), "inline"):
			in := fieldsOf(v.Field(i))
			for _, k := range in.keys {
				out.keys = append(out.keys, k)
				out.byKey[k] = in.byKey[k]
			}
		default:
			if tag == "" {
				tag = strings.ToLower(upperSnake(f.Name))
			}
			out.keys = append(out.keys, tag)
			out.byKey[tag] = v.Field(i)
		}
	}
	return out
}

// isStruct reports whether t is walked field by field. A time, or any other type that decodes itself, is not.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !implementsText(t) && !reflect.PointerTo(t).Implements(yamlType)
}

func implementsText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

func kindName(t reflect.Type) string {
	switch {
	case t == durationType:
		return `a duration such as "5s"`
	case t == secretType:
		return "a text"
	case implementsText(t):
		return "a valid " + t.Name()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list, each " + kindName(t.Elem())
	case reflect.Map:
		return "a mapping, each value " + kindName(t.Elem())
	default:
		return "a " + t.String()
	}
}

// envName returns the variable that would hold the whole section.
func envName(section string) string {
	parts := strings.Split(section, ".")
	for i, p := range parts {
		parts[i] = upperSnake(p)
	}
	return Prefix + strings.Join(parts, "_")
}

// upperSnake converts maxConns, MaxConns, max-conns and max_conns to MAX_CONNS, and URLPath to URL_PATH.
func upperSnake(s string) string {
	rs := []rune(s)
	var b strings.Builder
	for i, r := range rs {
		if r == '-' || r == '.' {
			r = '_'
		}
		if i > 0 && unicode.IsUpper(r) && rs[i-1] != '_' && rs[i-1] != '-' &&
			(!unicode.IsUpper(rs[i-1]) || (i+1 < len(rs) && unicode.IsLower(rs[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}
