package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/gen/go/souk/services"
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
