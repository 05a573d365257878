package postgres_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

func TestTextArraysRoundTrip(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.URL(t)})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for name, texts := range map[string][]string{
		"none": {}, "null": nil, "one": {"a"}, "empty text": {"", ""}, "the word": {"NULL", "null"},
		"marks":   {`{`, `}`, `"`, `\`, `,`, "'", " a ", "line\nbreak"},
		"scripts": {"Лампа", "مصباح", "灯", "💡"},
		"long":    {strings.Repeat("é", 100_000), "b"},
		"many":    strings.Split(strings.Repeat("x,", 5_000), ","),
	} {
		var back []string
		var null bool
		var n *int
		var first, all *string
		err := pool.QueryRow(t.Context(), `select $1::text[], $1::text[] is null, cardinality($1::text[]), ($1::text[])[1], array_to_string($1::text[], '|', '<null>')`, texts).
			Scan(&back, &null, &n, &first, &all)
		require.NoError(t, err, name)
		require.Equal(t, texts, back, name)
		require.Equal(t, texts == nil, null, name)
		if texts == nil {
			continue
		}
		require.Equal(t, len(texts), *n, name)
		require.Equal(t, strings.Join(texts, "|"), *all, name)
		if len(texts) > 0 {
			require.Equal(t, texts[0], *first, name)
		}
	}

	// pgx encodes what is not a []string.
	text := "a"
	var back []string
	require.NoError(
		t,
		pool.QueryRow(t.Context(), `select array_replace($1::text[], null, 'nothing')`, []*string{&text, nil}).
			Scan(&back),
	)
	require.Equal(t, []string{"a", "nothing"}, back)
	type name string
	require.NoError(t, pool.QueryRow(t.Context(), `select $1::text[]`, []name{"a", "b"}).Scan(&back))
	require.Equal(t, []string{"a", "b"}, back)
	require.NoError(t,
		pool.QueryRow(t.Context(), `select $1::text[]`, pgx.QueryExecModeExec, []string{`a "b", {c}`}).Scan(&back))
	require.Equal(t, []string{`a "b", {c}`}, back, "in the format of text")
}

func TestNumberArraysRoundTrip(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.URL(t)})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for _, numbers := range [][]int64{{}, nil, {0}, {-1, math.MaxInt64, math.MinInt64, 1 << 40}} {
		var back []int64
		var text *string
		require.NoError(
			t,
			pool.QueryRow(t.Context(), `select $1::bigint[], array_to_string($1::bigint[], ' ')`, numbers).
				Scan(&back, &text),
		)
		require.Equal(t, numbers, back)
		if numbers != nil {
			require.Equal(t, strings.Trim(fmt.Sprint(numbers), "[]"), *text)
		}
	}
	var back []int64
	require.NoError(t, pool.QueryRow(t.Context(), `select $1::bigint[]`, []int32{1, -2}).Scan(&back),
		"pgx encodes what is not a []int64")
	require.Equal(t, []int64{1, -2}, back)
}
