package settings

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"souk/gen/go/souk/services"
	"souk/pkg/config"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/secrets"
)

// SplitOptions say where [Split] writes.
type SplitOptions struct {
	// Out is the folder of the configuration files.
	Out string
	// Secrets is the folder of the files with secrets, one folder for each service; "": secrets stay in the
	// configuration files.
	Secrets string
	// SecretsPath is where processes see the folder Secrets; "": at the same path.
	SecretsPath string
}

// Split writes a configuration file for each service, with what it needs only, and operator.yaml for the commands and
// jobs of operators. References stay as they are. If all services share identity.seed, each gets its own key instead.
// Messages go to warnings.
//
// Errors: invalid_argument, and those of writing files.
func Split(tree *config.Tree, modules []module.Module, o SplitOptions, out, warnings io.Writer) error {
	shared, err := keys(tree, warnings)
	if err != nil {
		return err
	}
	for _, dir := range []string{o.Out, o.Secrets} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, p := range append(parts(modules), operatorPart()) {
		file, err := p.file(tree, shared, o)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		raw, err := yaml.Marshal(file)
		if err != nil {
			return err
		}
		path := filepath.Join(o.Out, p.name+".yaml")
		if err := writeFile(path, append([]byte("# Written by souk config split.\n"), raw...)); err != nil {
			return err
		}
		fmt.Fprintln(out, path)
	}
	return nil
}

// part is one of the files.
type part struct {
	name     string
	sections []config.Section
	all      bool // it has the passwords of all services
}

func parts(modules []module.Module) []part {
	out := make([]part, len(modules))
	for i, m := range modules {
		out[i] = part{name: m.Name, sections: sectionsOf(m)}
	}
	return out
}

func operatorPart() part {
	return part{name: natsauth.Operator, all: true, sections: []config.Section{
		sectionLog(), sectionVault(), sectionPostgres(), sectionDocuments(), sectionRedis(), sectionCache(),
		sectionNATS(), sectionIdentity(),
	}}
}

// keyring are the keys of services, where they share a seed.
type keyring struct {
	seed    []byte            // nil: they do not
	trusted map[string]string // public keys
}

func keys(tree *config.Tree, warnings io.Writer) (keyring, error) {
	id := module.DefaultIdentity()
	if err := tree.Decode("identity", &id); err != nil || !id.Seed.IsSet() {
		return keyring{}, err
	}
	seed, err := id.Secret()
	if err != nil {
		return keyring{}, err
	}
	k := keyring{seed: seed, trusted: map[string]string{}}
	for _, name := range append(services.Names(), natsauth.Operator) {
		public := identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
		k.trusted[name] = base64.StdEncoding.EncodeToString(public)
	}
	var own struct {
		Secret secrets.Value `yaml:"secret"`
	}
	if err := tree.Parse(config.Section{Name: "natsauth", Into: &own}); err == nil && own.Secret.IsSet() {
		return k, nil
	}
	fmt.Fprintln(warnings, "natsauth.secret is unset, so natsauth.yaml has identity.seed, from which the keys of all "+
		"services follow: give natsauth a secret of its own, and the NATS servers what souk natsauth prints then")
	return k, nil
}

// file returns the content of the configuration file.
func (p part) file(tree *config.Tree, shared keyring, o SplitOptions) (map[string]any, error) {
	file := map[string]any{}
	for _, s := range p.sections {
		defaults := map[string]reflect.Value{}
		into := reflect.ValueOf(s.Into).Elem()
		config.EachLeaf(s.Name, into, func(l config.Leaf) { defaults[l.Path] = copyOf(l.Value) })
		if err := tree.Parse(s); err != nil {
			return nil, err
		}
		var failed error
		config.EachLeaf(s.Name, into, func(l config.Leaf) {
			d, ok := defaults[l.Path]
			if ok && reflect.DeepEqual(d.Interface(), l.Value.Interface()) {
				return
			}
			if l.Path == "identity.seed" || !p.needs(l.Keys) {
				return
			}
			if err := p.put(file, l.Keys, l.Value.Interface(), o); err != nil {
				failed = err
			}
		})
		if failed != nil {
			return nil, failed
		}
	}
	if shared.seed == nil {
		return file, nil
	}
	put(file, []string{"identity", "trusted"}, shared.trusted)
	private := base64.StdEncoding.EncodeToString(identity.DeriveKey(shared.seed, p.name).Seed())
	err := p.put(file, []string{"identity", "keys", p.name}, secrets.Plain(private), o)
	if own, _ := file["natsauth"].(map[string]any); err == nil && p.name == "natsauth" && own["secret"] == nil {
		secret := secrets.Plain(base64.StdEncoding.EncodeToString(shared.seed))
		err = p.put(file, []string{"natsauth", "secret"}, secret, o)
	}
	return file, err
}

// byService lists the maps that have an entry for each service.
var byService = []string{
	"postgres.urls",
	"postgres.users",
	"postgres.passwords",
	"postgres.replicas",
	"documents.passwords",
	"identity.keys",
}

// needs reports whether the file needs a setting: of those by service, only its own.
func (p part) needs(keys []string) bool {
	if len(keys) < 3 || !slices.Contains(byService, keys[0]+"."+keys[1]) {
		return true
	}
	return keys[2] == p.name || p.all && keys[0] != "identity"
}

// put puts a setting into the file. It writes a secret into a file of its own, if the options say so.
func (p part) put(file map[string]any, keys []string, value any, o SplitOptions) error {
	secret, ok := value.(secrets.Value)
	if !ok {
		put(file, keys, value)
		return nil
	}
	if !secret.IsSet() {
		return nil
	}
	text := secret.Configured()
	if o.Secrets != "" && secret.HoldsSecret() {
		name := strings.ReplaceAll(strings.Join(keys, "."), string(filepath.Separator), "_")
		dir := filepath.Join(o.Secrets, p.name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), []byte(secret.Get()+"\n")); err != nil {
			return err
		}
		seen := o.SecretsPath
		if seen == "" {
			var err error
			if seen, err = filepath.Abs(o.Secrets); err != nil {
				return err
			}
		}
		text = "file:" + filepath.Join(seen, p.name, name)
	}
	put(file, keys, text)
	return nil
}

func put(into map[string]any, keys []string, value any) {
	for _, key := range keys[:len(keys)-1] {
		inner, ok := into[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			into[key] = inner
		}
		into = inner
	}
	into[keys[len(keys)-1]] = value
}

// copyOf copies a value, and the entries of a map: the configuration is decoded into the map that holds the defaults.
func copyOf(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	if v.Kind() != reflect.Map || v.IsNil() {
		c.Set(v)
		return c
	}
	c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
	for entries := v.MapRange(); entries.Next(); {
		c.SetMapIndex(entries.Key(), entries.Value())
	}
	return c
}

// writeFile replaces a file, in one step, with one that only its owner may read.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // it has its name by then, unless something failed
	if _, err := f.Write(content); err != nil {
		_ = f.Close() // the write's error counts
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
