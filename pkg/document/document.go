// Package document keeps documents: values of one Go type, as JSON, found by identifier and by indexes
// that are declared in code.
//
//	users, err := document.NewCollection(store, document.Spec[User]{
//		Name: "users",
//		ID:   func(u User) string { return u.ID },
//		Indexes: []document.Index{
//			{Name: "by_email", Fields: []string{"email"}, Unique: true, Fold: true},
//			{Name: "by_shop", Fields: []string{"shop.id", "name"}, Fold: true},
//		},
//	})
//
// Every write is one document and atomic. It takes along the events that tell of it, which then go out
// by the outbox if and only if the write took place. There is no transaction over several documents.
//
// A document has a revision that each write raises; [Collection.Replace] refuses a stale one.
//
// What a collection promises is written down as a test suite, in documenttest, that every backend
// passes. Texts compare byte by byte (so numbers and times do not sort; identifiers do, by their
// creation), and a text must not contain NUL.
package document

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/page"
)

// Store is a database that holds collections.
type Store struct{ backend backend }

// Open returns the store in a PostgreSQL database. That database must have the outbox's tables when
// documents are written with events. The pool stays the caller's.
func Open(pool *pgxpool.Pool) *Store { return &Store{backend: postgresBackend{pool}} }

// Spec describes a collection.
type Spec[T any] struct {
	// Name is the collection's: lower-case letters, digits and _, at most 24.
	Name string
	// ID returns the identifier of a value; it never changes and is not empty.
	ID func(T) string
	// Indexes are what documents can be found by.
	Indexes []Index
}

// Index lets documents be found by their fields.
type Index struct {
	// Name is the index's: lower-case letters, digits and _, at most 24.
	Name string
	// Fields are paths into the JSON, such as "email" or "address.city". The index holds the documents
	// that have all of them.
	Fields []string
	// Unique refuses a second document with the same values.
	Unique bool
	// Fold ignores upper and lower case.
	Fold bool
	// Descending turns the order of what is found around.
	Descending bool
}

// Doc is a document as it is kept.
type Doc[T any] struct {
	Value T
	// Revision counts the writes, from 1.
	Revision int64
}

// Query asks for documents by an index.
type Query struct {
	// Index names the index; empty: all documents, by their identifier.
	Index string
	// Equal holds values of the index's leading fields.
	Equal map[string]string
	// Prefix is what the field after those must begin with; empty: anything.
	Prefix string
	// After is the token of the page before; empty: the first page.
	After string
	// Limit is the size of the page; see page.Size.
	Limit int32
}

// Page is a part of what was found, in the order of the index.
type Page[T any] struct {
	Docs []Doc[T]
	// Next is the token of the next page; empty: this was the last.
	Next string
}

// Collection is the documents of one type. It may be used by several goroutines.
type Collection[T any] struct {
	backend backend
	spec    collection
	id      func(T) string
}

var (
	validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,23}$`)
	validPath = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,7}$`)
)

// NewCollection returns a collection of the store. It fails with errs.Internal when the spec is wrong:
// that is a bug. [Collection.Ensure] must be called before it is used.
func NewCollection[T any](s *Store, spec Spec[T]) (*Collection[T], error) {
	if !validName.MatchString(spec.Name) {
		return nil, errs.New(errs.Internal, "document: %q is not a collection's name", spec.Name)
	}
	if spec.ID == nil {
		return nil, errs.New(errs.Internal, "document: %s has no ID", spec.Name)
	}
	seen := map[string]bool{}
	for _, ix := range spec.Indexes {
		if !validName.MatchString(ix.Name) || seen[ix.Name] {
			return nil, errs.New(errs.Internal, "document: %s: %q is not an index's name, or stands there twice", spec.Name, ix.Name)
		}
		seen[ix.Name] = true
		if len(ix.Fields) == 0 {
			return nil, errs.New(errs.Internal, "document: %s.%s has no fields", spec.Name, ix.Name)
		}
		for i, f := range ix.Fields {
			if !validPath.MatchString(f) || slices.Contains(ix.Fields[:i], f) {
				return nil, errs.New(errs.Internal, "document: %s.%s: %q is not a path, or stands there twice", spec.Name, ix.Name, f)
			}
		}
	}
	return &Collection[T]{backend: s.backend, spec: collection{name: spec.Name, indexes: slices.Clone(spec.Indexes)}, id: spec.ID}, nil
}

// Ensure makes the collection and its indexes, and drops those that are no longer declared. Several
// processes may call it at once. It fails with errs.AlreadyExists when documents contradict a new unique
// index, and with errs.Unavailable.
func (c *Collection[T]) Ensure(ctx context.Context) error { return c.backend.ensure(ctx, c.spec) }

// Get returns the document with the id. It fails with errs.NotFound and errs.Unavailable.
func (c *Collection[T]) Get(ctx context.Context, id string) (Doc[T], error) {
	docs, err := c.GetMany(ctx, id)
	if err != nil {
		return Doc[T]{}, err
	}
	if len(docs) == 0 {
		return Doc[T]{}, notFound()
	}
	return docs[0], nil
}

// GetMany returns the documents with the ids that there are, in the order of ids. It fails with
// errs.Unavailable.
func (c *Collection[T]) GetMany(ctx context.Context, ids ...string) ([]Doc[T], error) {
	if len(ids) == 0 {
		return nil, nil
	}
	raws, err := c.backend.get(ctx, c.spec, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]raw, len(raws))
	for _, r := range raws {
		byID[r.id] = r
	}
	docs := make([]Doc[T], 0, len(raws))
	for _, id := range ids {
		if r, ok := byID[id]; ok {
			d, err := decode[T](r)
			if err != nil {
				return nil, err
			}
			docs = append(docs, d)
		}
	}
	return docs, nil
}

// Insert adds a document. It fails with errs.AlreadyExists when there is one with its id or with the
// same values of a unique index (see [Violates]), with errs.Invalid when a text contains NUL, and with
// errs.Unavailable.
func (c *Collection[T]) Insert(ctx context.Context, v T, events ...event.Event) (Doc[T], error) {
	id, body, err := c.encode(v, events)
	if err != nil {
		return Doc[T]{}, err
	}
	if err := c.backend.insert(ctx, c.spec, id, body, events); err != nil {
		return Doc[T]{}, err
	}
	return Doc[T]{Value: v, Revision: 1}, nil
}

// Replace writes d.Value over the document with its id, provided that d.Revision is still the latest.
// It fails with errs.Conflict when it is not, with errs.NotFound, and as Insert does.
func (c *Collection[T]) Replace(ctx context.Context, d Doc[T], events ...event.Event) (Doc[T], error) {
	id, body, err := c.encode(d.Value, events)
	if err != nil {
		return Doc[T]{}, err
	}
	if err := c.backend.replace(ctx, c.spec, id, d.Revision, body, events); err != nil {
		return Doc[T]{}, err
	}
	return Doc[T]{Value: d.Value, Revision: d.Revision + 1}, nil
}

// updateAttempts is how often Update starts again when others write the same document.
const updateAttempts = 10

// Update reads a document, lets f change it, and writes it back; when somebody else wrote meanwhile it
// starts again. The events that f returns go along. It fails as f, Get and Replace do.
func (c *Collection[T]) Update(ctx context.Context, id string, f func(v *T) ([]event.Event, error)) (Doc[T], error) {
	for attempt := 1; ; attempt++ {
		d, err := c.Get(ctx, id)
		if err != nil {
			return Doc[T]{}, err
		}
		events, err := f(&d.Value)
		if err != nil {
			return Doc[T]{}, err
		}
		if c.id(d.Value) != id {
			return Doc[T]{}, errs.New(errs.Internal, "document: %s: an identifier never changes", c.spec.name)
		}
		d, err = c.Replace(ctx, d, events...)
		if !errs.Is(err, errs.Conflict) || attempt == updateAttempts {
			return d, err
		}
	}
}

// Delete removes the document with the id. It fails with errs.NotFound and errs.Unavailable.
func (c *Collection[T]) Delete(ctx context.Context, id string, events ...event.Event) error {
	if err := validate(events); err != nil {
		return err
	}
	return c.backend.delete(ctx, c.spec, id, events)
}

// Find returns a page of the documents that q asks for, in the order of the index's fields and then of
// the identifiers. It fails with errs.Invalid for a made-up token, with errs.Unavailable, and with
// errs.Internal when q does not fit the index.
func (c *Collection[T]) Find(ctx context.Context, q Query) (Page[T], error) {
	f, err := c.spec.resolve(q)
	if err != nil {
		return Page[T]{}, err
	}
	limit := page.Size(q.Limit)
	f.limit = limit + 1 // one more tells whether there is a next page
	var after cursor
	if q.After != "" {
		if err := page.Decode(q.After, &after, f.binding()...); err != nil {
			return Page[T]{}, err
		}
		if len(after.Keys) != len(f.rest) {
			return Page[T]{}, errs.InvalidField("pageToken", "must be the nextPageToken of the same query, unchanged")
		}
		f.after = &after
	}
	raws, err := c.backend.find(ctx, c.spec, f)
	if err != nil {
		return Page[T]{}, err
	}
	var out Page[T]
	if len(raws) > limit {
		raws = raws[:limit]
		last := raws[limit-1]
		out.Next = page.Encode(cursor{Keys: last.keys, ID: last.id}, f.binding()...)
	}
	out.Docs = make([]Doc[T], len(raws))
	for i, r := range raws {
		if out.Docs[i], err = decode[T](r); err != nil {
			return Page[T]{}, err
		}
	}
	return out, nil
}

// Violates reports whether err is the refusal of a second document with the same values of the named
// unique index; "id" stands for the identifier.
func Violates(err error, index string) bool {
	var v *violation
	return errors.As(err, &v) && v.index == index
}

type violation struct {
	index string
	cause error
}

func (v *violation) Error() string { return fmt.Sprintf("unique index %s: %v", v.index, v.cause) }

func (v *violation) Unwrap() error { return v.cause }

func taken(index string, cause error) error {
	return errs.Wrap(&violation{index: index, cause: cause}, errs.AlreadyExists, "this already exists")
}

func notFound() error { return errs.New(errs.NotFound, "there is no such thing") }

func (c *Collection[T]) encode(v T, events []event.Event) (string, []byte, error) {
	if err := validate(events); err != nil {
		return "", nil, err
	}
	id := c.id(v)
	if id == "" {
		return "", nil, errs.New(errs.Internal, "document: %s: a document without an identifier", c.spec.name)
	}
	body, err := json.Marshal(v)
	if err != nil {
		return "", nil, errs.Wrap(err, errs.Internal, "document: %s", c.spec.name)
	}
	return id, body, nil
}

func validate(events []event.Event) error {
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func decode[T any](r raw) (Doc[T], error) {
	d := Doc[T]{Revision: r.revision}
	if err := json.Unmarshal(r.body, &d.Value); err != nil {
		return d, errs.Wrap(err, errs.Internal, "document %s cannot be read", r.id)
	}
	return d, nil
}
