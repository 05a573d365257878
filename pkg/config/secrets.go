package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"souk/pkg/secrets"
)

// sectionVault is the section that says where Vault is.
const sectionVault = "vault"

var secretType = reflect.TypeFor[secrets.Value]()

// Secrets returns what resolves the references of the tree. The process closes it when it ends.
func (t *Tree) Secrets() *secrets.Store { return t.secrets }

// vault returns the section vault.
func (t *Tree) vault() (secrets.VaultConfig, error) {
	c := secrets.DefaultVault()
	err := t.Decode(sectionVault, &c)
	return c, err
}

// resolve resolves the references in v.
func (t *Tree) resolve(p *problems, path string, v reflect.Value) {
	EachLeaf(path, v, func(l Leaf) {
		if l.Value.Type() != secretType {
			return
		}
		value := l.Value.Interface().(secrets.Value)
		resolved, err := t.secrets.Resolve(l.Path, value, t.vault)
		if err != nil {
			p.add(l.Path, "%s: %v", value.Reference(), err)
			return
		}
		l.Set(reflect.ValueOf(resolved))
	})
}

// Leaf is a setting that has no settings below it.
type Leaf struct {
	// Path is that of the setting, with its section: postgres.passwords.order. Keys are its parts.
	Path string
	Keys []string
	// Value is what it is.
	Value reflect.Value
	// Set replaces the value.
	Set func(reflect.Value)
}

// EachLeaf calls f for each setting of a section in v, which is addressable. Maps and lists of secrets and of structs
// are settings for each of their entries; other maps and lists are one setting.
func EachLeaf(section string, v reflect.Value, f func(Leaf)) { eachLeaf([]string{section}, v, f) }

func eachLeaf(keys []string, v reflect.Value, f func(Leaf)) {
	below := func(key string) []string { return append(slices.Clone(keys), key) }
	switch {
	case v.Type() == secretType:
		f(Leaf{strings.Join(keys, "."), keys, v, v.Set})
	case isStruct(v.Type()):
		fields := fieldsOf(v)
		for _, key := range fields.keys {
			eachLeaf(below(key), fields.byKey[key], f)
		}
	case v.Kind() == reflect.Pointer && isStruct(v.Type().Elem()):
		if !v.IsNil() {
			eachLeaf(keys, v.Elem(), f)
		}
	case v.Kind() == reflect.Map && hasLeaves(v.Type().Elem()):
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range names {
			item := reflect.New(v.Type().Elem()).Elem()
			item.Set(v.MapIndex(key))
			eachLeaf(below(key.String()), item, f)
			v.SetMapIndex(key, item)
		}
	case v.Kind() == reflect.Slice && hasLeaves(v.Type().Elem()):
		for i := range v.Len() {
			eachLeaf(below(strconv.Itoa(i)), v.Index(i), f)
		}
	default:
		f(Leaf{strings.Join(keys, "."), keys, v, v.Set})
	}
}

// hasLeaves reports whether entries of a type, in a map or list, are settings of their own.
func hasLeaves(t reflect.Type) bool { return t == secretType || isStruct(t) }

// holdsSecrets reports whether a setting of the type is a secret, or a map or list of secrets.
func holdsSecrets(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer:
		return holdsSecrets(t.Elem())
	}
	return t == secretType
}
