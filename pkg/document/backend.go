package document

import (
	"context"
	"slices"
	"strconv"

	"souk/pkg/errs"
	"souk/pkg/event"
)

// backend is a database that can hold collections. Its errors are those that [Collection] names.
type backend interface {
	ensure(ctx context.Context, c collection) error
	get(ctx context.Context, c collection, ids []string) ([]raw, error)
	insert(ctx context.Context, c collection, id string, body []byte, events []event.Event) error
	replace(ctx context.Context, c collection, id string, revision int64, body []byte, events []event.Event) error
	delete(ctx context.Context, c collection, id string, events []event.Event) error
	find(ctx context.Context, c collection, f find) ([]raw, error)
}

// collection is a validated Spec without its type.
type collection struct {
	name    string
	indexes []Index
}

// raw is a document as the database has it.
type raw struct {
	id       string
	revision int64
	body     []byte
	keys     []string // of find: the values of its rest fields, folded if the index folds
}

// find is a Query that fits its index.
type find struct {
	index  Index
	equal  []string // values of the leading fields
	rest   []string // the fields after those: they make the order, then comes the id
	prefix string   // of the first of rest
	after  *cursor
	limit  int
	bound  []string
}

// cursor is where a page ended.
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
		return f, errs.New(errs.Internal, "document: %s.%s: Equal must hold leading fields of the index", c.name, q.Index)
	}
	f.rest = f.index.Fields[len(f.equal):]
	if q.Prefix != "" && len(f.rest) == 0 {
		return f, errs.New(errs.Internal, "document: %s.%s: there is no field left for a prefix", c.name, q.Index)
	}
	f.bound = append([]string{c.name, q.Index, q.Prefix, strconv.FormatBool(f.index.Descending)}, f.equal...)
	return f, nil
}

// binding is what a page token is bound to.
func (f find) binding() []string { return f.bound }
