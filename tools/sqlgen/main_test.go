package main

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"souk/tools/internal/repo"
)

func TestGeneratedCodeIsUpToDateWithItsSQL(t *testing.T) {
	t.Parallel()
	root, err := repo.Root()
	require.NoError(t, err)
	dirs, err := stale(os.DirFS(root))
	require.NoError(t, err)
	for _, dir := range dirs {
		t.Errorf("%s: SQL changed since sqlc ran: make sqlc", dir)
	}
}

func TestChangedInputMakesGeneratedCodeStale(t *testing.T) {
	t.Parallel()
	const config = `{sql: [{schema: ../migrations, queries: [queries.sql], gen: {go: {out: gen}}}]}`
	for name, c := range map[string]struct {
		path, text string
		stale      bool
	}{
		"nothing":            {"app/other.sql", "select 1", false},
		"the configuration":  {"app/sqlc.yaml", config + "\n", true},
		"a query":            {"app/queries.sql", "select 2", true},
		"a migration":        {"migrations/1.up.sql", "create table b ()", true},
		"a new migration":    {"migrations/2.up.sql", "", true},
		"a migration's undo": {"migrations/1.down.sql", "drop table b", false},
		"the checksums":      {"app/gen/inputs.sum", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := fstest.MapFS{}
			write := func(path, text string) { tree[path] = &fstest.MapFile{Data: []byte(text)} }
			write("app/sqlc.yaml", config)
			write("app/queries.sql", "select 1")
			write("migrations/1.up.sql", "create table a ()")
			write("migrations/1.down.sql", "drop table a")
			dirs, err := stale(tree)
			require.NoError(t, err)
			require.Equal(t, []string{"app"}, dirs, "no checksums are recorded yet")

			sums, err := checksums(tree, "app")
			require.NoError(t, err)
			require.Len(t, sums, 1)
			write(sums[0].path, sums[0].text)
			dirs, err = stale(tree)
			require.NoError(t, err)
			require.Empty(t, dirs)

			write(c.path, c.text)
			dirs, err = stale(tree)
			require.NoError(t, err)
			require.Equal(t, c.stale, len(dirs) == 1, dirs)
		})
	}
}
