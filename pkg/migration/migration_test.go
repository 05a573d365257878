package migration_test

import (
	"context"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/migration"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func files(sql ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	names := []string{"000001_one", "000002_two", "000003_three"}
	for i, s := range sql {
		fsys["db/migrations/"+names[i]+".up.sql"] = &fstest.MapFile{Data: []byte(s)}
		fsys["db/migrations/"+names[i]+".down.sql"] = &fstest.MapFile{
			Data: []byte("drop table t" + string(rune('1'+i)) + ";"),
		}
	}
	return fsys
}

const (
	one   = "create table t1 (n int);\ninsert into t1 (n) values (1);"
	two   = "create table t2 (n int);"
	three = "create table t3 (n int);\ninsert into nowhere (n) values (1);"
)

func setup(t *testing.T) (context.Context, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx, pgtest.URL(t)
}

func tables(ctx context.Context, t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx,
		`select tablename from pg_tables where schemaname = 'public' and tablename ~ '^t[0-9]' order by 1`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestUpAfterDownRestoresTables(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	fsys := files(one, two)

	state, err := migration.Status(ctx, url, "shop", fsys)
	require.NoError(t, err)
	require.Equal(t, migration.State{Version: 0, Latest: 2, Pending: 2}, state)

	require.NoError(t, migration.Up(ctx, url, "shop", fsys))
	require.Equal(t, []string{"t1", "t2"}, tables(ctx, t, url))
	require.NoError(t, migration.Up(ctx, url, "shop", fsys), "a second time changes nothing")

	require.NoError(t, migration.DownSteps(ctx, url, "shop", fsys, 1))
	require.Equal(t, []string{"t1"}, tables(ctx, t, url))
	require.NoError(t, migration.DownSteps(ctx, url, "shop", fsys, 5))
	require.NoError(t, migration.DownSteps(ctx, url, "shop", fsys, 5), "nothing left to undo")
	require.Empty(t, tables(ctx, t, url))

	require.NoError(t, migration.Up(ctx, url, "shop", fsys))
	require.NoError(t, migration.Down(ctx, url, "shop", fsys))
	require.Empty(t, tables(ctx, t, url))
	require.NoError(t, migration.Down(ctx, url, "shop", fsys))
	require.NoError(t, migration.Up(ctx, url, "shop", fsys))

	state, err = migration.Status(ctx, url, "shop", fsys)
	require.NoError(t, err)
	require.Equal(t, migration.State{Version: 2, Latest: 2}, state)
}

func TestSetsAreIndependent(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	require.NoError(t, migration.UpAll(
		ctx,
		url,
		migration.Set{Name: "outbox", FS: files(one)},
		migration.Set{
			Name: "shop",
			FS: fstest.MapFS{
				"000001_x.up.sql":   {Data: []byte(two)},
				"000001_x.down.sql": {Data: []byte("drop table t2")},
			},
		},
	))
	require.NoError(t, migration.Down(ctx, url, "outbox", files(one)))
	require.Equal(t, []string{"t2"}, tables(ctx, t, url))
}

func TestFailedFileChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	err := migration.Up(ctx, url, "shop", files(one, two, three))
	require.ErrorContains(t, err, "version 3, line 2")
	require.ErrorContains(t, err, "nowhere")
	require.Equal(t, []string{"t1", "t2"}, tables(ctx, t, url))

	// The corrected file runs without a manual repair.
	require.NoError(t, migration.Up(ctx, url, "shop", files(one, two, "create table t3 (n int);")))
	require.Equal(t, []string{"t1", "t2", "t3"}, tables(ctx, t, url))
}

func TestConcurrentUpsWaitForEachOther(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	outcomes := make([]error, 8)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i] = migration.Up(ctx, url, "shop", files(one, two)) })
	}
	all.Wait()
	for _, err := range outcomes {
		require.NoError(t, err)
	}
}

func TestOlderProgramKeepsNewerSchema(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	require.NoError(t, migration.Up(ctx, url, "shop", files(one, two)))
	require.NoError(t, migration.Up(ctx, url, "shop", files(one)))
	require.Equal(t, []string{"t1", "t2"}, tables(ctx, t, url))
}

func TestUpStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	err := migration.Up(ctx, url, "shop", files("select pg_sleep(60);"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestInvalidSetsAreRefused(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	require.ErrorContains(t, migration.Up(ctx, url, "Shop; drop", files(one)), "name")
	require.ErrorContains(t, migration.Up(ctx, url, "shop", fstest.MapFS{}), "no file")
	require.ErrorContains(t, migration.Up(ctx, url, "shop", fstest.MapFS{"a/1_a.up.sql": {}, "b/2_b.up.sql": {}}),
		"two folders")
	require.ErrorContains(t, migration.DownSteps(ctx, url, "shop", files(one), 0), "0 steps")
}

func TestCheckFailsUntilAllFilesHaveRun(t *testing.T) {
	t.Parallel()
	ctx, url := setup(t)
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	check := func(sql ...string) error {
		return migration.Check(ctx, conn, migration.Set{Name: "x", FS: files(sql...)})
	}
	require.EqualError(t, check(one),
		"the schema (x) is at version 0, and this program needs 1: run souk migrate up")
	require.NoError(t, migration.Up(ctx, url, "x", files(one)))
	require.NoError(t, check(one))
	require.ErrorContains(t, check(one, two), "is at version 1, and this program needs 2")
	require.NoError(t, migration.Up(ctx, url, "x", files(one, two)))
	require.NoError(t, check(one, two))
	require.NoError(t, check(one), "the database is ahead")
	require.NoError(t, migration.Down(ctx, url, "x", files(one, two)))
	require.ErrorContains(t, check(one), "is at version 0")
}
