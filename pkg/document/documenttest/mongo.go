package documenttest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/zap"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
)

// mongoHarness is a Harness with a MongoDB database of its own.
type mongoHarness struct {
	Harness
	mongo *document.Mongo
	raw   *mongo.Database
	pool  *pgxpool.Pool
}

// RunMongo runs [Run], and tests of what is MongoDB's alone, on the server with the URL, and [RunConcurrent] if the
// server's conditional updates are atomic.
func RunMongo(t *testing.T, url string, concurrent bool) {
	t.Helper()
	setup := func(t *testing.T) Harness { return newMongo(t, url).Harness }
	for name, f := range map[string]func(*testing.T, mongoHarness){
		"a move that stops half-way repeats events in order": moveStops, // not parallel: it uses a failpoint
		"a moved event has all of its fields":                movedEvent,
		"a new index finds old documents":                    newIndex,
		"deleted documents leave nothing":                    nothingLeft,
		"errors tell no values":                              errorsTellNoValues,
	} {
		t.Run(name, func(t *testing.T) { f(t, newMongo(t, url)) })
	}
	Run(t, setup)
	if concurrent {
		RunConcurrent(t, setup)
	}
}

func newMongo(t *testing.T, url string) mongoHarness {
	name := "souk_test_" + strings.ToLower(rand.Text())
	pool := pgtest.New(t, outbox.Migrations())
	m, err := document.OpenMongo(document.MongoOptions{URL: url, Database: name, Outbox: pool, Logger: zap.NewNop()})
	require.NoError(t, err)
	client, err := mongo.Connect(options.Client().ApplyURI(url))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.Close(context.Background()))
		require.NoError(t, client.Database(name).Drop(context.Background()))
		require.NoError(t, client.Disconnect(context.Background()))
	})
	h := mongoHarness{mongo: m, raw: client.Database(name), pool: pool}
	h.Harness = Harness{Store: m.Store(), Sent: func(t testing.TB) []string {
		for {
			n, err := m.Move(ctx(t))
			require.NoError(t, err)
			if n == 0 {
				return h.outbox(t)
			}
		}
	}}
	return h
}

func (h mongoHarness) outbox(t testing.TB) []string {
	rows, err := h.pool.Query(ctx(t), `select id from outbox where sent_at is null order by seq`)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return ids
}

func (h mongoHarness) users(t testing.TB) *document.Collection[user] {
	c, err := document.NewCollection(h.Store, spec())
	require.NoError(t, err)
	require.NoError(t, c.Ensure(ctx(t)))
	return c
}

func moveStops(t *testing.T, h mongoHarness) {
	c := h.users(t)
	e1, e2, e3 := newEvent(t, "u1"), newEvent(t, "u1"), newEvent(t, "u1")
	d, err := c.Insert(ctx(t), user{ID: "u1"}, e1, e2)
	require.NoError(t, err)
	disable := failpoint.Enable(document.FailAfterMoved, failpoint.Error(nil).Times(1))
	defer disable()
	_, err = h.mongo.Move(ctx(t))
	require.Error(t, err)
	require.Equal(t, []string{e1.ID, e2.ID}, h.outbox(t))
	for before, want := range map[time.Time]int{e1.Time: 0, e1.Time.Add(time.Second): 1} {
		waiting, err := h.mongo.Waiting(ctx(t), before)
		require.NoError(t, err)
		require.Equal(t, want, waiting)
	}
	_, err = c.Replace(ctx(t), d, e3)
	require.NoError(t, err)
	require.Equal(t, []string{e1.ID, e2.ID, e1.ID, e2.ID, e3.ID}, h.Sent(t))
	require.NoError(t, c.Delete(ctx(t), "u1"))
	require.Len(t, h.Sent(t), 5, "and not again")
}

func movedEvent(t *testing.T, h mongoHarness) {
	e := newEvent(t, "u1").With("request_id", "req_\"1\"")
	_, err := h.users(t).Insert(ctx(t), user{ID: "u1"}, e)
	require.NoError(t, err)
	h.Sent(t)
	var got event.Event
	err = h.pool.QueryRow(ctx(t), `select id, subject, type, aggregate_id, aggregate_version, occurred_at, metadata, payload
		from outbox`).
		Scan(&got.ID, &got.Subject, &got.Type, &got.AggregateID, &got.AggregateVersion, &got.Time,
			&got.Metadata, &got.Payload)
	require.NoError(t, err)
	got.Time = got.Time.UTC()
	e.AggregateVersion = 1
	require.Equal(t, e, got)
}

func newIndex(t *testing.T, h mongoHarness) {
	old, err := document.NewCollection(h.Store, document.Spec[user]{Name: "users", ID: spec().ID})
	require.NoError(t, err)
	require.NoError(t, old.Ensure(ctx(t)))
	insert(t, old, user{ID: "u1", Email: "A@example.org", Name: "x"}, user{ID: "u2", Name: "x"})
	c := h.users(t)
	insert(t, old, user{ID: "late", Name: "y"}) // by an older version that still runs
	find := func(q document.Query) string { return find(t, c, q) }
	require.Equal(t, "u1", find(document.Query{Index: "by_email", Equal: map[string]string{"email": "a@EXAMPLE.org"}}))
	require.Equal(t, "u1 u2", find(document.Query{Index: "exact"}))
	_, err = c.Insert(ctx(t), user{ID: "u3", Email: "a@example.org"})
	require.True(t, document.Violates(err, "by_email"), "%v", err)
	require.NoError(t, c.Ensure(ctx(t)))
	require.Equal(t, "u1 u2 late", find(document.Query{Index: "exact"}))
	d, err := c.Get(ctx(t), "late")
	require.NoError(t, err)
	require.Equal(t, int64(1), d.Revision, "the document has not changed")
}

func nothingLeft(t *testing.T, h mongoHarness) {
	c := h.users(t)
	insert(t, c, user{ID: "u1", Email: "a@example.org"}, user{ID: "u2"})
	require.NoError(t, c.Delete(ctx(t), "u1", newEvent(t, "u1")))
	require.NoError(t, c.Delete(ctx(t), "u2"))
	var left []bson.M
	all := func() {
		cursor, err := h.raw.Collection("users").Find(ctx(t), bson.M{})
		require.NoError(t, err)
		require.NoError(t, cursor.All(ctx(t), &left))
	}
	all()
	require.Len(t, left, 1)
	require.NotContains(t, left[0], "doc")
	require.NotContains(t, left[0], "keys")
	h.Sent(t)
	all()
	require.Empty(t, left)
}

func errorsTellNoValues(t *testing.T, h mongoHarness) {
	c := h.users(t)
	insert(t, c, user{ID: "u1", Email: "secret@example.org"})
	_, err := c.Insert(ctx(t), user{ID: "u2", Email: "secret@example.org"})
	require.True(t, errs.Is(err, errs.AlreadyExists), "%v", err)
	require.NotContains(t, err.Error(), "secret")
}
