package settings

import (
	"io"
	"reflect"

	"go.yaml.in/yaml/v3"

	"souk/pkg/config"
	"souk/pkg/logging"
	"souk/pkg/module"
	"souk/pkg/redisx"
	"souk/pkg/secrets"
	"souk/pkg/telemetry"
)

func sectionLog() config.Section { return config.Section{Name: "log", Into: new(logging.Default())} }
func sectionVault() config.Section {
	return config.Section{Name: "vault", Into: new(secrets.DefaultVault())}
}

func sectionPostgres() config.Section {
	return config.Section{Name: "postgres", Into: new(module.DefaultPostgres())}
}

func sectionDocuments() config.Section {
	return config.Section{Name: "documents", Into: &module.DocumentsConfig{}}
}
func sectionRedis() config.Section { return config.Section{Name: "redis", Into: new(redisx.Default())} }
func sectionCache() config.Section {
	return config.Section{Name: "cache", Into: new(module.DefaultCache())}
}
func sectionNATS() config.Section { return config.Section{Name: "nats", Into: &module.NATSConfig{}} }
func sectionIdentity() config.Section {
	return config.Section{Name: "identity", Into: new(module.DefaultIdentity())}
}

// sectionsOf returns the sections that a service's process reads.
func sectionsOf(m module.Module) []config.Section {
	out := []config.Section{
		sectionLog(),
		{Name: "telemetry", Into: new(telemetry.Default())},
		{Name: "admin", Into: new(module.DefaultAdmin())},
		{Name: "rpc", Into: new(module.DefaultRPC())},
		sectionVault(), sectionNATS(), sectionIdentity(),
	}
	if len(m.Sets()) > 0 {
		out = append(out, sectionPostgres())
	}
	if m.Documents {
		out = append(out, sectionDocuments())
	}
	if m.Redis != nil {
		out = append(out, sectionRedis(), sectionCache())
	}
	if m.Config != nil {
		out = append(out, config.Section{Name: m.Name, Into: m.Config()})
	}
	return out
}

// Show writes all settings of the services, as they are after the file and the environment. A secret shows where it is,
// and never what it is.
//
// Errors: invalid_argument.
func Show(tree *config.Tree, modules []module.Module, out io.Writer) error {
	all := map[string]any{}
	for _, m := range modules {
		for _, s := range sectionsOf(m) {
			if all[s.Name] != nil {
				continue
			}
			if err := tree.Parse(s); err != nil {
				return err
			}
			config.EachLeaf(s.Name, reflect.ValueOf(s.Into).Elem(), func(l config.Leaf) {
				value := l.Value.Interface()
				if secret, ok := value.(secrets.Value); ok {
					value = secret.Masked()
				}
				put(all, l.Keys, value)
			})
		}
	}
	return yaml.NewEncoder(out).Encode(all)
}
