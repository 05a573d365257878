// Package documenttest specifies package document as a test suite that every backend must pass: [Run], and
// [RunConcurrent] for writers at the same time. [RunMongo] runs it, and more, on a MongoDB server.
package documenttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// Harness is a backend under test.
type Harness struct {
	// Store is empty.
	Store *document.Store
	// Sent returns the IDs of the events in the outbox that are not published yet, in order.
	Sent func(t testing.TB) []string
}

type address struct {
	City string `json:"city,omitempty"`
}

type user struct {
	ID      string   `json:"id"`
	Email   string   `json:"email,omitempty"`
	Name    string   `json:"name,omitempty"`
	Shop    string   `json:"shop,omitempty"`
	Address *address `json:"address,omitempty"`
	Age     int64    `json:"age"`
}

func spec() document.Spec[user] {
	return document.Spec[user]{
		Name: "users",
		ID:   func(u user) string { return u.ID },
		Indexes: []document.Index{
			{Name: "by_email", Fields: []string{"email"}, Unique: true, Fold: true},
			{Name: "by_shop", Fields: []string{"shop", "name"}, Fold: true},
			{Name: "exact", Fields: []string{"name"}},
			{Name: "newest", Fields: []string{"shop"}, Descending: true},
			{Name: "one_a_city", Fields: []string{"shop", "address.city"}, Unique: true},
		},
	}
}

type test func(*testing.T, Harness, *document.Collection[user])

// Run runs the suite. It calls setup once per test.
func Run(t *testing.T, setup func(t *testing.T) Harness) {
	t.Helper()
	run(t, setup, map[string]test{
		"write and read":     writeAndRead,
		"revisions":          revisions,
		"update":             update,
		"delete":             deletes,
		"unique":             unique,
		"find":               finds,
		"case":               folding,
		"pages":              pages,
		"pages do not shift": pagesWhileWriting,
		"events":             events,
		"ensure again":       ensureAgain,
		"hostile values":     hostile,
		"misuse":             misuse,
		"any JSON":           anyJSON,
		"size":               size,
		"events of deleted":  eventsOfDeleted,
		"end of context":     endOfContext,
	})
}

// RunConcurrent runs the part of the suite in which several writers change one document. FerretDB does not pass it: its
// conditional updates are not atomic.
func RunConcurrent(t *testing.T, setup func(t *testing.T) Harness) {
	t.Helper()
	run(t, setup, map[string]test{
		"updates at once":           updatesAtOnce,
		"writers of one revision":   writersOfOneRevision,
		"events of updates at once": eventsOfUpdatesAtOnce,
	})
}

func run(t *testing.T, setup func(t *testing.T) Harness, tests map[string]test) {
	t.Helper()
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			c, err := document.NewCollection(h.Store, spec())
			require.NoError(t, err)
			require.NoError(t, c.Ensure(ctx(t)))
			f(t, h, c)
		})
	}
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func insert(t testing.TB, c *document.Collection[user], users ...user) {
	t.Helper()
	for _, u := range users {
		_, err := c.Insert(ctx(t), u)
		require.NoError(t, err, "%+v", u)
	}
}

func ids(p document.Page[user]) string {
	var out []string
	for _, d := range p.Docs {
		out = append(out, d.Value.ID)
	}
	return strings.Join(out, " ")
}

func find(t testing.TB, c *document.Collection[user], q document.Query) string {
	t.Helper()
	p, err := c.Find(ctx(t), q)
	require.NoError(t, err)
	require.Empty(t, p.Next)
	return ids(p)
}

func writeAndRead(t *testing.T, _ Harness, c *document.Collection[user]) {
	in := user{
		ID:      "u1",
		Email:   "a@example.org",
		Name:    "Ann \"Ж\" 漢字 🦆 <b>",
		Age:     1<<53 + 1,
		Address: &address{City: "Porto Alegre"},
	}
	d, err := c.Insert(ctx(t), in)
	require.NoError(t, err)
	require.Equal(t, document.Doc[user]{Value: in, Revision: 1}, d)
	got, err := c.Get(ctx(t), "u1")
	require.NoError(t, err)
	require.Equal(t, d, got)

	_, err = c.Get(ctx(t), "nobody")
	require.True(t, errs.Is(err, errs.NotFound))
	insert(t, c, user{ID: "u2"}, user{ID: "u3"})
	many, err := c.GetMany(ctx(t), "u3", "nobody", "u1")
	require.NoError(t, err)
	require.Len(t, many, 2)
	require.Equal(t, "u3", many[0].Value.ID)
	require.Equal(t, "u1", many[1].Value.ID)
	none, err := c.GetMany(ctx(t))
	require.NoError(t, err)
	require.Empty(t, none)
}

func revisions(t *testing.T, _ Harness, c *document.Collection[user]) {
	d, err := c.Insert(ctx(t), user{ID: "u1", Name: "a"})
	require.NoError(t, err)
	stale := d
	d.Value.Name = "b"
	d, err = c.Replace(ctx(t), d)
	require.NoError(t, err)
	require.Equal(t, int64(2), d.Revision)
	stale.Value.Name = "c"
	_, err = c.Replace(ctx(t), stale)
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	got, err := c.Get(ctx(t), "u1")
	require.NoError(t, err)
	require.Equal(t, d, got)
	_, err = c.Replace(ctx(t), document.Doc[user]{Value: user{ID: "nobody"}, Revision: 1})
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
}

func update(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1"})
	got, err := c.Update(ctx(t), "u1", func(u *user) ([]event.Event, error) { u.Age++; return nil, nil })
	require.NoError(t, err)
	require.Equal(t, document.Doc[user]{Value: user{ID: "u1", Age: 1}, Revision: 2}, got)
	same, err := c.Update(ctx(t), "u1", func(*user) ([]event.Event, error) { return nil, nil })
	require.NoError(t, err)
	require.Equal(t, got, same, "nothing changed, so nothing is written")

	_, err = c.Update(ctx(t), "u1", func(*user) ([]event.Event, error) { return nil, errs.New(errs.Forbidden, "no") })
	require.True(t, errs.Is(err, errs.Forbidden))
	_, err = c.Update(ctx(t), "nobody", func(*user) ([]event.Event, error) { return nil, nil })
	require.True(t, errs.Is(err, errs.NotFound))
	_, err = c.Update(ctx(t), "u1", func(u *user) ([]event.Event, error) { u.ID = "u2"; return nil, nil })
	require.True(t, errs.Is(err, errs.Internal))
}

func deletes(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1", Email: "a@example.org"})
	require.NoError(t, c.Delete(ctx(t), "u1"))
	_, err := c.Get(ctx(t), "u1")
	require.True(t, errs.Is(err, errs.NotFound))
	require.True(t, errs.Is(c.Delete(ctx(t), "u1"), errs.NotFound))
	insert(t, c, user{ID: "u1", Email: "a@example.org"})
}

func unique(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1", Email: "a@example.org", Shop: "s", Address: &address{City: "X"}},
		user{ID: "u2"}, user{ID: "u3"}, user{ID: "u4", Shop: "s"}, user{ID: "u5", Shop: "s"})
	_, err := c.Insert(ctx(t), user{ID: "u1"})
	require.True(t, errs.Is(err, errs.AlreadyExists) && document.Violates(err, "id"), "%v", err)
	_, err = c.Insert(ctx(t), user{ID: "u6", Email: "A@Example.ORG"})
	require.True(t, errs.Is(err, errs.AlreadyExists) && document.Violates(err, "by_email"), "%v", err)
	_, err = c.Insert(ctx(t), user{ID: "u6", Shop: "s", Address: &address{City: "X"}})
	require.True(t, errs.Is(err, errs.AlreadyExists) && document.Violates(err, "one_a_city"), "%v", err)
	require.False(t, document.Violates(err, "by_email"))
	insert(t, c, user{ID: "u6", Shop: "s", Address: &address{City: "x"}})
	_, err = c.Replace(ctx(t), document.Doc[user]{Value: user{ID: "u2", Email: "a@example.org"}, Revision: 1})
	require.True(t, document.Violates(err, "by_email"), "%v", err)

	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 50 {
		wg.Go(func() {
			if _, err := c.Insert(ctx(t), user{ID: fmt.Sprint("r", i), Email: "race@example.org"}); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, won)
}

func finds(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(
		t,
		c,
		user{
			ID:    "u1",
			Email: "zoe@example.org",
			Name:  "Zoe",
			Shop:  "a",
		},
		user{ID: "u2", Email: "adam@example.org", Name: "Adam", Shop: "a"},
		user{
			ID:    "u3",
			Email: "ada@example.org",
			Name:  "Ada",
			Shop:  "a",
		},
		user{ID: "u4", Name: "ada", Shop: "b"},
		user{ID: "u5", Shop: "a"},
		user{ID: "u0", Name: "Ad%_"},
	)
	require.Equal(t, "u0 u1 u2 u3 u4 u5", find(t, c, document.Query{}))
	require.Equal(t, "u1",
		find(t, c, document.Query{Index: "by_email", Equal: map[string]string{"email": "zoe@example.org"}}))
	require.Equal(t, "u3 u2", find(t, c, document.Query{Index: "by_email", Prefix: "ada"}))
	require.Equal(t, "u3 u2 u1", find(t, c, document.Query{Index: "by_email"}))
	require.Equal(t, "u3 u2 u1", find(t, c, document.Query{Index: "by_shop", Equal: map[string]string{"shop": "a"}}))
	require.Equal(t, "u3 u2",
		find(t, c, document.Query{Index: "by_shop", Equal: map[string]string{"shop": "a"}, Prefix: "AD"}))
	require.Equal(t, "u3",
		find(t, c, document.Query{Index: "by_shop", Equal: map[string]string{"shop": "a", "name": "ADA"}}))
	require.Equal(t, "u0 u3 u2 u1 u4", find(t, c, document.Query{Index: "exact"}))
	require.Equal(t, "u3 u2", find(t, c, document.Query{Index: "exact", Prefix: "Ada"}))
	require.Equal(t, "u0", find(t, c, document.Query{Index: "exact", Prefix: "Ad%"}))
	require.Equal(t, "u5 u3 u2 u1", find(t, c, document.Query{Index: "newest", Equal: map[string]string{"shop": "a"}}))
	require.Equal(t, "u4 u5 u3 u2 u1", find(t, c, document.Query{Index: "newest"}))
	require.Empty(t, find(t, c, document.Query{Index: "exact", Equal: map[string]string{"name": "zoe"}}))
}

func folding(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1", Email: "ÉLAN@example.org"}, user{ID: "u2", Email: "ЖУК@example.org"})
	require.Equal(t, "u1",
		find(t, c, document.Query{Index: "by_email", Equal: map[string]string{"email": "élan@example.org"}}))
	require.Equal(t, "u2", find(t, c, document.Query{Index: "by_email", Prefix: "жУ"}))
	_, err := c.Insert(ctx(t), user{ID: "u3", Email: "жук@EXAMPLE.org"})
	require.True(t, document.Violates(err, "by_email"), "%v", err)
}

func pages(t *testing.T, _ Harness, c *document.Collection[user]) {
	const n = 45
	for i := range n {
		insert(t, c, user{ID: fmt.Sprintf("u%02d", i), Shop: "a", Name: fmt.Sprint("name ", i%7)})
	}
	for _, q := range []document.Query{
		{}, {
			Index: "by_shop",
		}, {Index: "by_shop", Equal: map[string]string{"shop": "A"}}, {Index: "exact", Prefix: "name"},
		{Index: "newest", Equal: map[string]string{"shop": "a"}}, {Index: "newest"},
	} {
		seen, sizes := map[string]bool{}, []int{}
		for {
			p, err := c.Find(ctx(t), q)
			require.NoError(t, err)
			sizes = append(sizes, len(p.Docs))
			for _, d := range p.Docs {
				require.False(t, seen[d.Value.ID], "%+v: %s twice", q, d.Value.ID)
				seen[d.Value.ID] = true
			}
			if p.Next == "" {
				break
			}
			q.After = p.Next
		}
		require.Len(t, seen, n, "%+v", q)
		require.Equal(t, []int{20, 20, 5}, sizes)
	}
	p, err := c.Find(ctx(t), document.Query{Limit: 1_000_000})
	require.NoError(t, err)
	require.Len(t, p.Docs, n)
	p, err = c.Find(ctx(t), document.Query{Index: "by_shop", Limit: 3})
	require.NoError(t, err)
	for _, q := range []document.Query{
		{After: "made up"}, {After: p.Next}, {Index: "by_shop", Prefix: "a", After: p.Next},
		{Index: "by_shop", Equal: map[string]string{"shop": "a"}, After: p.Next},
	} {
		_, err := c.Find(ctx(t), q)
		require.True(t, errs.Is(err, errs.Invalid), "%+v: %v", q, err)
		require.Equal(t, "pageToken", errs.From(err).Fields[0].Path)
	}
}

func pagesWhileWriting(t *testing.T, _ Harness, c *document.Collection[user]) {
	for i := range 10 {
		insert(t, c, user{ID: fmt.Sprint("u", i), Name: fmt.Sprint("n", i)})
	}
	p, err := c.Find(ctx(t), document.Query{Index: "exact", Limit: 4})
	require.NoError(t, err)
	require.Equal(t, "u0 u1 u2 u3", ids(p))
	require.NoError(t, c.Delete(ctx(t), "u3")) // the last row of the page
	insert(t, c, user{ID: "early", Name: "a"}, user{ID: "late", Name: "n4x"})
	p, err = c.Find(ctx(t), document.Query{Index: "exact", Limit: 4, After: p.Next})
	require.NoError(t, err)
	require.Equal(t, "u4 late u5 u6", ids(p))
}

func newEvent(t testing.TB, id string) event.Event {
	t.Helper()
	e, err := event.New(ctx(t), "evt.user.updated", id, 0, time.Unix(1700000000, 0), wrapperspb.String("x"))
	require.NoError(t, err)
	return e
}

func events(t *testing.T, h Harness, c *document.Collection[user]) {
	e1, e2, e3, e4, e5 := newEvent(t, "u1"), newEvent(t, "u1"), newEvent(t, "u1"), newEvent(t, "u1"), newEvent(t, "u1")
	d, err := c.Insert(ctx(t), user{ID: "u1", Email: "a@example.org"}, e1, e2)
	require.NoError(t, err)
	_, err = c.Insert(ctx(t), user{ID: "u1"}, e5)
	require.Error(t, err)
	_, err = c.Insert(ctx(t), user{ID: "u2", Email: "a@example.org"}, newEvent(t, "u2"))
	require.Error(t, err)
	d, err = c.Replace(ctx(t), d, e3)
	require.NoError(t, err)
	d.Revision--
	_, err = c.Replace(ctx(t), d, e5)
	require.True(t, errs.Is(err, errs.Conflict))
	require.True(t, errs.Is(c.Delete(ctx(t), "nobody", newEvent(t, "nobody")), errs.NotFound))
	require.NoError(t, c.Delete(ctx(t), "u1", e4))
	require.Equal(t, []string{e1.ID, e2.ID, e3.ID, e4.ID}, h.Sent(t))
	for _, wrong := range []event.Event{{}, newEvent(t, "u2")} {
		_, err = c.Insert(ctx(t), user{ID: "u1"}, wrong)
		require.True(t, errs.Is(err, errs.Invalid))
	}
}

func ensureAgain(t *testing.T, h Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1", Email: "a@example.org", Name: "same"}, user{ID: "u2", Name: "same"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := c.Ensure(ctx(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// by_email is no longer unique. The new unique index on name is violated by documents.
	changed := spec()
	changed.Indexes = []document.Index{{Name: "by_email", Fields: []string{"email"}, Fold: true}}
	c2, err := document.NewCollection(h.Store, changed)
	require.NoError(t, err)
	require.NoError(t, c2.Ensure(ctx(t)))
	insert(t, c2, user{ID: "u3", Email: "a@example.org"})
	require.Equal(t, "u1 u3",
		find(t, c2, document.Query{Index: "by_email", Equal: map[string]string{"email": "A@example.org"}}))
	changed.Indexes = []document.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}
	c3, err := document.NewCollection(h.Store, changed)
	require.NoError(t, err)
	err = c3.Ensure(ctx(t))
	require.True(t, errs.Is(err, errs.AlreadyExists), "%v", err)
}

func hostile(t *testing.T, h Harness, c *document.Collection[user]) {
	for i, s := range []string{`'; drop table doc_users; --`, `" or 1=1`, `$1`, `{"$gt":""}`, `%`, `\`, `{a,b}`, "😀"} {
		id := fmt.Sprint("h", i, s)
		insert(t, c, user{ID: id, Name: s})
		require.Equal(t, id, find(t, c, document.Query{Index: "exact", Equal: map[string]string{"name": s}}))
		require.Equal(t, id, find(t, c, document.Query{Index: "exact", Prefix: s}))
		_, err := c.Get(ctx(t), id)
		require.NoError(t, err)
	}
	_, err := c.Insert(ctx(t), user{ID: "nul", Name: "a\x00b"})
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	for _, bad := range []document.Spec[user]{
		{
			Name: `x"; drop table y; --`, ID: spec().ID,
		}, {Name: "X", ID: spec().ID}, {Name: "", ID: spec().ID}, {Name: "ok"},
		{Name: "ok", ID: spec().ID, Indexes: []document.Index{{Name: "a b", Fields: []string{"x"}}}},
		{Name: "ok", ID: spec().ID, Indexes: []document.Index{{Name: "a"}}},
		{Name: "ok", ID: spec().ID, Indexes: []document.Index{{Name: "a", Fields: []string{"x}' || '"}}}},
		{Name: "ok", ID: spec().ID, Indexes: []document.Index{{Name: "a", Fields: []string{"x", "x"}}}},
		{
			Name: "ok", ID: spec().ID,
			Indexes: []document.Index{{Name: "a", Fields: []string{"x"}}, {Name: "a", Fields: []string{"y"}}},
		},
	} {
		_, err := document.NewCollection(h.Store, bad)
		require.True(t, errs.Is(err, errs.Internal), "%+v", bad)
	}
}

func misuse(t *testing.T, _ Harness, c *document.Collection[user]) {
	for _, q := range []document.Query{
		{
			Index: "nothing",
		}, {Equal: map[string]string{"name": "x"}}, {Index: "by_shop", Equal: map[string]string{"name": "x"}},
		{Prefix: "x"}, {Index: "exact", Equal: map[string]string{"name": "x"}, Prefix: "y"},
	} {
		_, err := c.Find(ctx(t), q)
		require.True(t, errs.Is(err, errs.Internal), "%+v: %v", q, err)
	}
	_, err := c.Insert(ctx(t), user{})
	require.True(t, errs.Is(err, errs.Internal))
}
