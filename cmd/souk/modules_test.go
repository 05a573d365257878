package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/gen/go/souk/services"
	"souk/pkg/module"
)

// TestModulesAreTheServicesOfTheRegistry compares this command's list with the generated one, from which issuers,
// routes, databases and the tables in the docs derive. A service therefore cannot be in one list and not the other.
func TestModulesAreTheServicesOfTheRegistry(t *testing.T) {
	t.Parallel()
	names := moduleNames()
	slices.Sort(names)
	require.Equal(t, services.Names(), names)

	var databases []string
	for _, m := range modules() {
		if len(m.Sets()) > 0 {
			databases = append(databases, m.Name)
		}
	}
	slices.Sort(databases)
	require.Equal(t, services.Databases(), databases)
}

// A projection is declared in a module, its consumers in the registry, and its source in another module.
func TestDeclarationsOfProjectionsAreComplete(t *testing.T) {
	t.Parallel()
	purposes := map[string][]string{}
	for _, s := range services.All() {
		for _, c := range s.Consumers {
			purposes[s.Name] = append(purposes[s.Name], c.Purpose)
		}
	}
	names := map[string]bool{}
	for _, m := range modules() {
		for _, p := range m.Projections {
			name := m.Name + "." + p.Name
			require.False(t, names[name], "%s is declared twice", name)
			names[name] = true
			require.NotEmpty(t, p.Shows, name)
			require.NotEmpty(t, p.Unit, name)
			require.NotNil(t, p.Rows, name)
			require.NotNil(t, p.Rebuild, name)
			require.Subset(t, purposes[m.Name], p.Consumers, "%s has a consumer that does not exist", name)
			if p.Source != "" {
				i := slices.IndexFunc(modules(), func(m module.Module) bool { return m.Name == p.Source })
				require.GreaterOrEqual(t, i, 0, "%s has a source that does not exist", name)
				require.NotNil(t, modules()[i].States, "the source of %s has no states", name)
			}
		}
	}
	require.NotEmpty(t, names)
}
