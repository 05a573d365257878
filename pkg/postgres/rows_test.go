package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

const insertNames = "insert into name (id, name) select n.id, n.name from unnest($1::int[], $2::text[]) as n (id, name)"

func TestRowsOfTheSameStatementAreMerged(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), "create table name (id int, name text, xact bigint default txid_current())")
	require.NoError(t, err)

	var a, b, all pgx.Batch
	postgres.QueueRow(&a, insertNames, 1, "one")
	a.Queue("update name set name = upper(name) where id = $1", 1)
	postgres.QueueRow(&a, insertNames, 2, "two")
	postgres.QueueRow(&b, insertNames, 3, "three")
	postgres.QueueRow(&b, insertNames, 4, "four")
	require.Equal(t, 2, a.Len())

	for range 2 { // joining does not change the joined batches: they may be joined again after a failure
		all = pgx.Batch{}
		postgres.Join(&all, &a)
		postgres.Join(&all, &b)
		require.Equal(t, 2, all.Len())
	}
	require.NoError(t, postgres.SendBatch(t.Context(), pool, &all))
	rows, err := pool.Query(t.Context(), "select name from name order by id")
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"ONE", "two", "three", "four"}, names)
}

func TestRowsOfOtherTypesPanic(t *testing.T) {
	t.Parallel()
	for _, row := range [][]any{{1}, {"1", "one"}} {
		var rows postgres.Rows
		rows.Add(1, "one")
		require.Panics(t, func() { rows.Add(row...) })
	}
	require.Panics(t, func() { new(postgres.Rows).Add(struct{}{}) })
}

// A failed batch may be sent again over a connection that has not prepared its statements.
func TestJoinedBatchesCanBeSentAgain(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var part pgx.Batch
	part.Queue("select $1::int", 1)
	for range 2 {
		conn, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig)
		require.NoError(t, err)
		defer func() { _ = conn.Close(context.Background()) }()
		var b pgx.Batch
		postgres.Join(&b, &part)
		require.NoError(t, postgres.SendBatch(t.Context(), conn, &b))
	}
}
