package documenttest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
)

type anything struct {
	ID  string          `json:"id"`
	Any json.RawMessage `json:"any"`
}

// A document may hold every JSON but NUL, whatever the database makes of names and numbers.
func anyJSON(t *testing.T, h Harness, _ *document.Collection[user]) {
	c, err := document.NewCollection(h.Store, document.Spec[anything]{
		Name: "anything", ID: func(a anything) string { return a.ID },
		Indexes: []document.Index{
			{Name: "deep", Fields: []string{"any.a.b"}},
			{Name: "number", Fields: []string{"any.n"}},
		},
	})
	require.NoError(t, err)
	require.NoError(t, c.Ensure(ctx(t)))
	for id, text := range map[string]string{
		"names":   `{"a.b": {"$set": {"_id": 1}}, "$where": "x", "": [], "a": {"b": "deep"}}`,
		"arrays":  `[[1, [2, [3, {"x": []}]]], [], {}]`,
		"numbers": `{"n": 9223372036854775807, "big": 123456789012345678901234567890, "small": -0.000001}`,
		"escaped": `{"n": true, "text": "\\u0000 is six characters \\\\u0000"}`,
		"null":    `{"n": null, "a": {"b": null}}`,
		"text":    `"just a text"`,
	} {
		_, err := c.Insert(ctx(t), anything{ID: id, Any: json.RawMessage(text)})
		require.NoError(t, err, id)
		got, err := c.Get(ctx(t), id)
		require.NoError(t, err, id)
		require.JSONEq(t, text, string(got.Value.Any), id)
		if id == "numbers" { // JSONEq compares numbers as floats
			require.Contains(t, string(got.Value.Any), "9223372036854775807")
			require.Contains(t, string(got.Value.Any), "123456789012345678901234567890")
		}
	}
	for id, q := range map[string]document.Query{
		"names":   {Index: "deep"},
		"numbers": {Index: "number", Equal: map[string]string{"any.n": "9223372036854775807"}},
		"escaped": {Index: "number", Equal: map[string]string{"any.n": "true"}},
	} {
		p, err := c.Find(ctx(t), q)
		require.NoError(t, err)
		require.Len(t, p.Docs, 1, id)
		require.Equal(t, id, p.Docs[0].Value.ID)
	}
	for _, text := range []string{`"\u0000"`, `"\\\u0000"`, `{"\u0000": 1}`} {
		_, err := c.Insert(ctx(t), anything{ID: "nul", Any: json.RawMessage(text)})
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", text, err)
	}
	_, err = c.Get(ctx(t), "nul\x00")
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	_, err = c.Find(ctx(t), document.Query{Index: "deep", Equal: map[string]string{"any.a.b": "\x00"}})
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
}

func size(t *testing.T, h Harness, users *document.Collection[user]) {
	c, err := document.NewCollection(h.Store, document.Spec[anything]{
		Name: "anything", ID: func(a anything) string { return a.ID },
	})
	require.NoError(t, err)
	require.NoError(t, c.Ensure(ctx(t)))
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n) + `"`) }
	rest := document.MaxSize - len(`{"id":"d1","any":""}`)
	d, err := c.Insert(ctx(t), anything{ID: "d1", Any: text(rest)})
	require.NoError(t, err)
	got, err := c.Get(ctx(t), "d1")
	require.NoError(t, err)
	require.Len(t, got.Value.Any, rest+2)
	_, err = c.Insert(ctx(t), anything{ID: "d2", Any: text(rest + 1)})
	require.True(t, errs.Is(err, errs.TooLarge), "%v", errs.CodeOf(err))
	d.Value.Any = text(rest + 1)
	_, err = c.Replace(ctx(t), d)
	require.True(t, errs.Is(err, errs.TooLarge), "%v", errs.CodeOf(err))
	// The values of indexes count, too.
	_, err = users.Insert(ctx(t), user{ID: "u1", Name: rand.Text() + strings.Repeat("x", document.MaxSize-100)})
	require.True(t, errs.Is(err, errs.TooLarge), "%v", errs.CodeOf(err))
}

// The events of a deleted document outlive it, and a new document with its identifier.
func eventsOfDeleted(t *testing.T, h Harness, c *document.Collection[user]) {
	var sent []string
	next := func() event.Event {
		e := newEvent(t, "u1")
		sent = append(sent, e.ID)
		return e
	}
	for range 3 {
		d, err := c.Insert(ctx(t), user{ID: "u1", Email: "a@example.org", Shop: "s"}, next())
		require.NoError(t, err)
		require.Equal(t, int64(1), d.Revision)
		require.NoError(t, c.Delete(ctx(t), "u1")) // its event waits
		d, err = c.Insert(ctx(t), user{ID: "u1", Email: "a@example.org", Shop: "s"})
		require.NoError(t, err)
		require.Equal(t, int64(1), d.Revision)
		_, err = c.Replace(ctx(t), d, next(), next())
		require.NoError(t, err)
		require.NoError(t, c.Delete(ctx(t), "u1", next()))
		_, err = c.Get(ctx(t), "u1")
		require.True(t, errs.Is(err, errs.NotFound), "%v", err)
		_, err = c.Replace(ctx(t), document.Doc[user]{Value: user{ID: "u1"}, Revision: 3})
		require.True(t, errs.Is(err, errs.NotFound), "%v", err)
		require.True(t, errs.Is(c.Delete(ctx(t), "u1"), errs.NotFound))
		require.Empty(t, find(t, c, document.Query{}))
		require.Empty(t, find(t, c, document.Query{Index: "newest"}))
		insert(t, c, user{ID: "u2", Email: "a@example.org"}) // its values are free again
		require.NoError(t, c.Delete(ctx(t), "u2"))
	}
	require.Equal(t, sent, h.Sent(t))
	insert(t, c, user{ID: "u1"})
	require.Equal(t, sent, h.Sent(t))
}

func endOfContext(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1"})
	ended, cancel := context.WithCancel(ctx(t))
	cancel()
	_, err := c.Get(ended, "u1")
	require.True(t, errs.Is(err, errs.Timeout), "%v", err)
	_, err = c.Insert(ended, user{ID: "u2"})
	require.True(t, errs.Is(err, errs.Timeout), "%v", err)
	_, err = c.Find(ended, document.Query{})
	require.True(t, errs.Is(err, errs.Timeout), "%v", err)
	require.True(t, errs.Is(c.Delete(ended, "u1"), errs.Timeout))
}

func updatesAtOnce(t *testing.T, _ Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := c.Update(ctx(t), "u1", func(u *user) ([]event.Event, error) { u.Age++; return nil, nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := c.Get(ctx(t), "u1")
	require.NoError(t, err)
	require.Equal(t, int64(4), got.Value.Age)
	require.Equal(t, int64(5), got.Revision)
}

func writersOfOneRevision(t *testing.T, _ Harness, c *document.Collection[user]) {
	d, err := c.Insert(ctx(t), user{ID: "u1"})
	require.NoError(t, err)
	for round := range 10 {
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				mine := d
				mine.Value.Age = int64(i)
				_, err := c.Replace(ctx(t), mine)
				switch {
				case err == nil:
					won.Add(1)
				case errs.Is(err, errs.Conflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, []int64{1, 19}, []int64{won.Load(), lost.Load()}, "round %d", round)
		if d, err = c.Get(ctx(t), "u1"); err != nil {
			require.NoError(t, err)
		}
		require.Equal(t, int64(round)+2, d.Revision)
	}
}

// The events of an aggregate get into the outbox in the order of its revisions, even if they get there meanwhile.
func eventsOfUpdatesAtOnce(t *testing.T, h Harness, c *document.Collection[user]) {
	insert(t, c, user{ID: "u1"})
	var order [9]string // event IDs by revision, counted from 2
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 3 {
				e := newEvent(t, "u1")
				d, err := c.Update(ctx(t), "u1", func(u *user) ([]event.Event, error) {
					u.Age++
					return []event.Event{e}, nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				order[d.Revision-2] = e.ID
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for moving := true; moving; {
		select {
		case <-done:
			moving = false
		default:
			h.Sent(t)
		}
	}
	require.Equal(t, order[:], h.Sent(t))
}
