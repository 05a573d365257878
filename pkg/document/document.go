// Package document stores documents: values of one Go type, as JSON. They are found by identifier and by indexes
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
// A write changes one document, atomically. The events that are passed to it are written with it and get into the
// outbox in the order of the document's revisions. They are about the document: their aggregate is its identifier, and
// their version becomes its revision. There is no transaction over several documents.
//
// A document has a revision that each write increments; [Collection.Replace] refuses a stale one.
//
// Texts compare byte by byte, so numbers and times do not sort by value, but identifiers sort by their creation. A text
// must not contain NUL.
//
// # Backends
//
// Documents are in PostgreSQL ([Open]) or in MongoDB ([OpenMongo]). Package documenttest specifies collections as a
// test suite that both must pass. PostgreSQL passes it in make test, MongoDB with SOUK_TEST_MONGODB_URL, and FerretDB
// all but its part about writers at the same time (make ferretdb): its conditional updates are not atomic.
//
// In PostgreSQL, events are appended to the outbox in the statement of the write. In MongoDB they are written into the
// document, and [Mongo.Run] moves them to the outbox in the service's PostgreSQL, each at least once (docs/adr/0017).
// Further differences: PostgreSQL refuses an index's values of more than 2.7 kB with too_large. MongoDB counts the
// values of indexes and waiting events towards a document's size. It finds a document by a new index only once Ensure
// has written the keys, so a process of an older version should not run on meanwhile; and it knows Unicode's case
// folding by the Go program's tables, PostgreSQL by ICU's.
package document

import (
	"bytes"
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

// Open returns the store of a PostgreSQL database. The database must have the outbox's tables if documents are
// written with events. The caller closes the pool.
func Open(pool *pgxpool.Pool) *Store { return &Store{backend: postgresBackend{pool}} }

// MaxSize is the maximum length of a document's JSON in bytes. What MongoDB keeps of a document, which includes the
// values of its indexes and its events that wait, is at most 16 MiB.
const MaxSize = 15 << 20

// Spec describes a collection.
type Spec[T any] struct {
	// Name consists of at most 24 lower-case letters, digits and underscores, and begins with a letter.
	Name string
	// ID returns the identifier of a value. It must never change or be empty.
	ID func(T) string
	// Indexes are the indexes by which documents can be found.
	Indexes []Index
}

// Index is an index on fields of the documents.
type Index struct {
	// Name consists of at most 24 lower-case letters, digits and underscores, and begins with a letter.
	Name string
	// Fields are paths into the JSON, such as "email" or "address.city", to texts, whole numbers or booleans. The index
	// holds only documents that have all of the fields.
	Fields []string
	// Unique refuses a second document with the same values.
	Unique bool
	// Fold makes the index case-insensitive.
	Fold bool
	// Descending reverses the order of results.
	Descending bool
}

// Doc is a stored document.
type Doc[T any] struct {
	Value T
	// Revision is the number of writes, including the insert.
	Revision int64
}

// Query selects documents by an index.
type Query struct {
	// Index is the index's name; empty: all documents, ordered by identifier.
	Index string
	// Equal holds the required values of leading fields of the index.
	Equal map[string]string
	// Prefix is the required prefix of the next field; empty: any value.
	Prefix string
	// After is Next of the previous page; empty: the first page.
	After string
	// Limit is the maximum number of documents; see page.Size for the default and the maximum.
	Limit int32
}

// Page is a page of the results, in the order of the index.
type Page[T any] struct {
	Docs []Doc[T]
	// Next is the token of the next page; empty: this is the last page.
	Next string
}

// Collection is a set of documents of one type. It is safe for concurrent use.
type Collection[T any] struct {
	backend backend
	spec    collection
	id      func(T) string
}

var (
	validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,23}$`)
	validPath = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,7}$`)
)

// NewCollection returns a collection of the store. Call [Collection.Ensure] before any other method.
//
// Errors: internal (the spec is invalid, which is a bug).
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
			return nil, errs.New(errs.Internal, "document: %s: %q is not an index's name, or stands there twice",
				spec.Name, ix.Name)
		}
		seen[ix.Name] = true
		if len(ix.Fields) == 0 {
			return nil, errs.New(errs.Internal, "document: %s.%s has no fields", spec.Name, ix.Name)
		}
		for i, f := range ix.Fields {
			if !validPath.MatchString(f) || slices.Contains(ix.Fields[:i], f) {
				return nil, errs.New(errs.Internal, "document: %s.%s: %q is not a path, or stands there twice",
					spec.Name, ix.Name, f)
			}
		}
	}
	return &Collection[T]{
		backend: s.backend,
		spec:    collection{name: spec.Name, indexes: slices.Clone(spec.Indexes)},
		id:      spec.ID,
	}, nil
}

// Ensure creates the collection and its indexes, and drops indexes that are no longer declared. Several processes
// may call it at the same time.
//
// Errors: already_exists (documents violate a new unique index), unavailable.
func (c *Collection[T]) Ensure(ctx context.Context) error { return c.backend.ensure(ctx, c.spec) }

// Get returns the document with the id.
//
// Errors: not_found, unavailable.
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

// GetMany returns the documents with the ids, in the order of ids. It omits missing documents.
//
// Errors: unavailable.
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

// Insert inserts a document and appends the events.
//
// Errors: already_exists (a document has the same id, or the same values of a unique index; see [Violates]),
// invalid_argument (a text contains NUL, or an event is invalid), too_large (see [MaxSize]), unavailable, timeout (the
// outcome is unknown).
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

// Replace replaces the document with the id of d.Value, if d.Revision is still its revision, and appends the events.
//
// Errors: conflict (the revision is stale), not_found, and those of Insert.
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

// updateAttempts is the number of attempts of Update when others write the same document.
const updateAttempts = 10

// Update reads a document, calls f to change it, and writes it back with the events that f returns. It writes nothing
// if f changes nothing and returns no events. If another write came between, it retries, up to 10 attempts. So f may
// be called several times.
//
// Errors: internal (f changed the identifier), and those of f, Get and Replace.
func (c *Collection[T]) Update(ctx context.Context, id string, f func(v *T) ([]event.Event, error)) (Doc[T], error) {
	for attempt := 1; ; attempt++ {
		d, err := c.Get(ctx, id)
		if err != nil {
			return Doc[T]{}, err
		}
		_, before, err := c.encode(d.Value, nil)
		if err != nil {
			return Doc[T]{}, err
		}
		events, err := f(&d.Value)
		if err != nil {
			return Doc[T]{}, err
		}
		newID, after, err := c.encode(d.Value, events)
		switch {
		case err != nil:
			return Doc[T]{}, err
		case newID != id:
			return Doc[T]{}, errs.New(errs.Internal, "document: %s: an identifier never changes", c.spec.name)
		case len(events) == 0 && bytes.Equal(before, after):
			return d, nil
		}
		d, err = c.Replace(ctx, d, events...)
		if !errs.Is(err, errs.Conflict) || attempt == updateAttempts {
			return d, err
		}
	}
}

// Delete deletes the document with the id and appends the events.
//
// Errors: not_found, invalid_argument (an event is invalid), conflict (others write it all the time), unavailable,
// timeout (the outcome is unknown).
func (c *Collection[T]) Delete(ctx context.Context, id string, events ...event.Event) error {
	if err := validate(id, events); err != nil {
		return err
	}
	return c.backend.delete(ctx, c.spec, id, events)
}

// Find returns a page of the documents that q selects, ordered by the index's fields and then by identifier.
//
// Errors: invalid_argument (the token is not from the same query), internal (q does not fit the index), unavailable.
func (c *Collection[T]) Find(ctx context.Context, q Query) (Page[T], error) {
	f, err := c.spec.resolve(q)
	if err != nil {
		return Page[T]{}, err
	}
	r := page.Request{Size: page.Size(q.Limit), Token: q.After, Filter: f.binding()}
	raws, next, err := page.List(ctx, r, nil, func(ctx context.Context, after *cursor, limit int) ([]raw, error) {
		if after != nil && len(after.Keys) != len(f.rest) {
			return nil, page.Invalid()
		}
		f.after, f.limit = after, limit
		return c.backend.find(ctx, c.spec, f)
	}, func(r raw) *cursor { return &cursor{Keys: r.keys, ID: r.id} })
	if err != nil {
		return Page[T]{}, err
	}
	out := Page[T]{Docs: make([]Doc[T], len(raws)), Next: next}
	for i, r := range raws {
		if out.Docs[i], err = decode[T](r); err != nil {
			return Page[T]{}, err
		}
	}
	return out, nil
}

// Violates reports whether err is an already_exists error because of the named unique index; "id" means the
// identifier.
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

func tooLarge(cause error) error {
	return errs.Wrap(cause, errs.TooLarge, "this is too large to be kept")
}

func notFound() error { return errs.New(errs.NotFound, "there is no such thing") }

func (c *Collection[T]) encode(v T, events []event.Event) (string, []byte, error) {
	id := c.id(v)
	if id == "" {
		return "", nil, errs.New(errs.Internal, "document: %s: a document without an identifier", c.spec.name)
	}
	if err := validate(id, events); err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return "", nil, errs.Wrap(err, errs.Internal, "document: %s", c.spec.name)
	}
	if len(body) > MaxSize {
		return "", nil, tooLarge(nil)
	}
	return id, body, nil
}

func validate(id string, events []event.Event) error {
	for _, e := range events {
		if e.AggregateID != id {
			return errs.InvalidField("aggregateId", "%q is not the document's identifier", e.AggregateID)
		}
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
