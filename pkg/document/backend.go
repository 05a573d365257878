package document

import (
	"context"
	"slices"
	"strconv"

	"souk/pkg/errs"
	"souk/pkg/event"
)

// backend is a database that can hold collections. It returns the errors that [Collection] documents.
type backend interface {
	ensure(ctx context.Context, c collection) error
	get(ctx context.Context, c collection, ids []string) ([]raw, error)
	insert(ctx context.Context, c collection, id string, body []byte, events []event.Event) error
	replace(ctx context.Context, c collection, id string, revision int64, body []byte, events []event.Event) error
	delete(ctx context.Context, c collection, id string, events []event.Event) error
	find(ctx context.Context, c collection, f find) ([]raw, error)
}

// collection is a validated Spec without its type parameter.
type collection struct {
	name    string
	indexes []Index
}

// raw is a document as it is stored.
type raw struct {
	id       string
	revision int64
	body     []byte
	keys     []string // only of find: the values of the fields find.rest, folded if the index folds
}

// find is a Query that has been checked against its index.
type find struct {
	index  Index
	equal  []string // values of the leading fields
	rest   []string // the fields after those; results are ordered by them, then by id
	prefix string   // of the first field of rest
	after  *cursor
	limit  int
	bound  []string // what a page token is bound to
}

// cursor is the position at which a page ended.
type cursor struct {
	Keys []string `json:"k,omitempty"`
	ID   string   `json:"i"`
}

func (c collection) resolve(q Query) (find, error) {
	f := find{prefix: q.Prefix}
	if q.Index != "" {
		i := slices.IndexFunc(c.indexes, func(ix Index) bool { return ix.Name == q.Index })
		if i < 0 {
			return f, errs.New(errs.Internal, "document: %s has no index %q", c.name, q.Index)
		}
		f.index = c.indexes[i]
	}
	for _, field := range f.index.Fields {
		v, ok := q.Equal[field]
		if !ok {
			break
		}
		f.equal = append(f.equal, v)
	}
	if len(f.equal) != len(q.Equal) {
		return f, errs.New(errs.Internal, "document: %s.%s: Equal must hold leading fields of the index", c.name,
			q.Index)
	}
	f.rest = f.index.Fields[len(f.equal):]
	if q.Prefix != "" && len(f.rest) == 0 {
		return f, errs.New(errs.Internal, "document: %s.%s: there is no field left for a prefix", c.name, q.Index)
	}
	f.bound = append([]string{c.name, q.Index, q.Prefix, strconv.FormatBool(f.index.Descending)}, f.equal...)
	return f, nil
}

// binding returns the values that a page token is bound to.
func (f find) binding() []string { return f.bound }
