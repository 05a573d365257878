package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Rows are the arguments of a set-based statement, which takes a slice for each column ("… from unnest($1::text[],
// $2::bigint[])"). The zero Rows is empty. A *Rows is the only argument of its statement; [Rows.Args] can be combined
// with others.
type Rows struct{ columns []column }

// Add adds a row: a value for each column. The values of a column have one of these types: string, *string, int (which
// becomes int64), int32, int64, float64, *float64, bool, []byte, [json.RawMessage], [time.Time]. Add panics if a value
// has another type than those before it.
func (r *Rows) Add(values ...any) {
	if r.columns == nil {
		for _, v := range values {
			r.columns = append(r.columns, newColumn(v))
		}
	}
	for i, c := range r.columns {
		c.add(values[i])
	}
}

// Args returns the columns: a slice for each.
func (r *Rows) Args() []any {
	args := make([]any, len(r.columns))
	for i, c := range r.columns {
		args[i] = c.slice()
	}
	return args
}

// Empty reports whether no row was added.
func (r *Rows) Empty() bool { return r.columns == nil }

// RewriteQuery implements pgx.QueryRewriter: the columns are the arguments.
func (r *Rows) RewriteQuery(_ context.Context, _ *pgx.Conn, sql string, _ []any) (string, []any, error) {
	return sql, r.Args(), nil
}

// addAll adds the rows of other, which it does not change.
func (r *Rows) addAll(other *Rows) {
	if r.columns == nil {
		r.columns = make([]column, len(other.columns))
		for i, c := range other.columns {
			r.columns[i] = c.empty()
		}
	}
	for i, c := range r.columns {
		c.addAll(other.columns[i])
	}
}

// column is the values of a column.
type column interface {
	add(v any)
	addAll(other column)
	empty() column
	slice() any
}

func newColumn(v any) column {
	switch v.(type) {
	case string:
		return newOf[string]()
	case *string:
		return newOf[*string]()
	case int, int64:
		return newOf[int64]()
	case int32:
		return newOf[int32]()
	case float64:
		return newOf[float64]()
	case *float64:
		return newOf[*float64]()
	case bool:
		return newOf[bool]()
	case []byte:
		return newOf[[]byte]()
	case json.RawMessage:
		return newOf[json.RawMessage]()
	case time.Time:
		return newOf[time.Time]()
	default:
		panic(fmt.Sprintf("postgres: no column has values of type %T", v))
	}
}

type columnOf[T any] struct{ values []T }

// newOf returns a column with room for a few rows.
func newOf[T any]() *columnOf[T] { return &columnOf[T]{values: make([]T, 0, 4)} }

func (c *columnOf[T]) add(v any) {
	if n, ok := v.(int); ok {
		v = int64(n)
	}
	c.values = append(c.values, v.(T)) //nolint:forcetypeassert // Add documents the panic
}

func (c *columnOf[T]) addAll(other column) {
	c.values = append(c.values, other.(*columnOf[T]).values...) //nolint:forcetypeassert // as above
}

func (c *columnOf[T]) empty() column { return &columnOf[T]{} }
func (c *columnOf[T]) slice() any    { return c.values }

// QueueRow queues a statement with a row of values: see [Rows.Add]. If b already holds the same statement, the row is
// added to its rows: it runs once, at its first position. The statement's effect on a row must therefore not depend on
// the other rows.
func QueueRow(b *pgx.Batch, sql string, values ...any) { queued(b, sql).Add(values...) }

// Join appends the statements of another batch to b. Rows that were queued by [QueueRow] are added to those of b.
func Join(b, other *pgx.Batch) {
	for _, q := range other.QueuedQueries {
		if r := rowsOf(q); r != nil {
			queued(b, q.SQL).addAll(r)
		} else {
			// A copy, because pgx stores in a queued query which connection has prepared it.
			b.QueuedQueries = append(b.QueuedQueries, &pgx.QueuedQuery{SQL: q.SQL, Arguments: q.Arguments, Fn: q.Fn})
		}
	}
}

// queued returns the rows of a statement of b. It queues the statement if b lacks it.
func queued(b *pgx.Batch, sql string) *Rows {
	for _, q := range b.QueuedQueries {
		if r := rowsOf(q); r != nil && q.SQL == sql {
			return r
		}
	}
	r := &Rows{}
	b.Queue(sql, r)
	return r
}

func rowsOf(q *pgx.QueuedQuery) *Rows {
	if len(q.Arguments) != 1 {
		return nil
	}
	r, _ := q.Arguments[0].(*Rows)
	return r
}
