package document_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/document"
	"souk/pkg/document/documenttest"
	"souk/pkg/errs"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPostgresPassesSuite(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) documenttest.Harness {
		pool := pgtest.New(t, outbox.Migrations())
		return documenttest.Harness{
			Store: document.Open(pool),
			Sent: func(t testing.TB) []string {
				rows, err := pool.Query(context.Background(),
					`select id from outbox where sent_at is null order by seq`)
				require.NoError(t, err)
				ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
				require.NoError(t, err)
				return ids
			},
		}
	}
	documenttest.Run(t, setup)
	documenttest.RunConcurrent(t, setup)
}

type note struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Text string `json:"text"`
}

func notes(s *document.Store) (*document.Collection[note], error) {
	return document.NewCollection(s, document.Spec[note]{
		Name: "notes",
		ID:   func(n note) string { return n.ID },
		Indexes: []document.Index{
			{Name: "by_user", Fields: []string{"user"}, Descending: true},
			{Name: "by_text", Fields: []string{"user", "text"}, Fold: true},
		},
	})
}

// The first page and later pages are index scans without a sort.
func TestFindUsesIndexScanWithoutSort(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	c, err := notes(document.Open(pool))
	require.NoError(t, err)
	require.NoError(t, c.Ensure(ctx))
	_, err = pool.Exec(ctx, `insert into doc_notes (id, revision, doc)
		select 'n' || lpad(i::text, 6, '0'), 1, jsonb_build_object('id', 'n' || lpad(i::text, 6, '0'), 'user', 'u' || i % 50, 'text', 'Text ' || i)
		from generate_series(1, 20000) i`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `analyze doc_notes`)
	require.NoError(t, err)
	first, err := c.Find(ctx, document.Query{Index: "by_user", Equal: map[string]string{"user": "u7"}})
	require.NoError(t, err)
	require.Len(t, first.Docs, 20)
	for name, q := range map[string]document.Query{
		"equal":  {Index: "by_user", Equal: map[string]string{"user": "u7"}},
		"after":  {Index: "by_user", Equal: map[string]string{"user": "u7"}, After: first.Next},
		"prefix": {Index: "by_text", Equal: map[string]string{"user": "u7"}, Prefix: "text 1"},
		"all":    {},
	} {
		sql, args, err := document.FindSQL(c, q)
		require.NoError(t, err)
		rows, err := pool.Query(ctx, `explain `+sql, args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := fmt.Sprint(lines)
		require.Contains(t, plan, "Index Scan", name)
		require.NotContains(t, plan, "Sort", name)
		require.NotContains(t, plan, "Seq Scan", name)
	}
}

func TestCancelledQueryIsNotInternalError(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	c, err := notes(document.Open(pool))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Get(ctx, "x")
	require.Error(t, err)
	require.NotEqual(t, errs.Internal, errs.CodeOf(err), "%v", err)
}

func ExampleCollection() {
	ctx := context.Background()
	var t example // a testing.TB
	c, err := notes(document.Open(pgtest.New(&t)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.done()
	fmt.Println(c.Ensure(ctx))
	doc, _ := c.Insert(ctx, note{ID: "n1", User: "usr_1", Text: "Hello"})
	doc.Value.Text = "Good-bye"
	latest, err := c.Replace(ctx, doc)
	fmt.Println(latest.Revision, err)
	_, err = c.Replace(ctx, doc)
	fmt.Println(errs.CodeOf(err))
	found, err := c.Find(ctx,
		document.Query{Index: "by_text", Equal: map[string]string{"user": "usr_1"}, Prefix: "good"})
	fmt.Println(len(found.Docs), found.Docs[0].Value.Text, err)
	// Output:
	// <nil>
	// 2 <nil>
	// conflict
	// 1 Good-bye <nil>
}
