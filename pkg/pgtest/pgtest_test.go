package pgtest_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/migration"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func set(sql string) migration.Set {
	return migration.Set{Name: "shop", FS: fstest.MapFS{
		"000001_t.up.sql":   {Data: []byte(sql)},
		"000001_t.down.sql": {Data: []byte("drop table t")},
	}}
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, set("create table t (n int)"))
			_, err := pool.Exec(t.Context(), `insert into t (n) values ($1)`, i)
			require.NoError(t, err)
			var count int
			require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from t`).Scan(&count))
			require.Equal(t, 1, count)
		})
	}
}

func TestOtherMigrationsCreateAnotherTemplate(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, set("create table t (n int, extra text)"))
	_, err := pool.Exec(t.Context(), `select extra from t`)
	require.NoError(t, err)
}

func TestDatabaseIsDroppedAfterTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test", func(t *testing.T) { name = pgtest.New(t).Config().ConnConfig.Database })
	var exists bool
	require.NoError(
		t,
		pgtest.New(t).
			QueryRow(t.Context(), `select exists (select from pg_database where datname = $1)`, name).
			Scan(&exists),
	)
	require.False(t, exists)
}

func ExampleNew() {
	_ = func(t *testing.T) { // a test
		pool := pgtest.New(t, migration.Set{Name: "shop", FS: fstest.MapFS{ /* embedded files */ }})
		_, err := pool.Exec(t.Context(), `select 1`)
		require.NoError(t, err)
	}
	// Output:
}

func BenchmarkURL(b *testing.B) {
	for b.Loop() {
		pgtest.URL(b, set("create table t (n int)"))
	}
}
