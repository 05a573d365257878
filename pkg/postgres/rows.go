package postgres

import (
	"context"
	"errors"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// rows are the arguments of a set-based statement: one slice per column, all of the same length.
type rows struct{ columns []any }

// RewriteQuery implements pgx.QueryRewriter: the columns are the arguments.
func (r *rows) RewriteQuery(
	_ context.Context,
	_ *pgx.Conn,
	sql string,
	_ []any,
) (newSQL string, args []any, err error) {
	n := -1
	for _, c := range r.columns {
		l := reflect.ValueOf(c).Len()
		if n >= 0 && l != n {
			return "", nil, errors.New("postgres: columns of one statement differ in length")
		}
		n = l
	}
	return sql, r.columns, nil
}

// QueueRows queues a statement that takes any number of rows as slices, one per column ("… from unnest($1::text[],
// $2::bigint[])"). If b already holds the same statement, the rows are added to it: it runs once, at its first
// position. The statement's effect on a row must therefore not depend on the other rows. QueueRows panics if a
// column is not a slice.
func QueueRows(b *pgx.Batch, sql string, columns ...any) {
	for _, q := range b.QueuedQueries {
		if known, ok := rowsOf(q); ok && q.SQL == sql && len(known.columns) == len(columns) {
			for i, c := range columns {
				known.columns[i] = reflect.AppendSlice(reflect.ValueOf(known.columns[i]), reflect.ValueOf(c)).
					Interface()
			}
			return
		}
	}
	own := make([]any, len(columns))
	for i, c := range columns {
		v := reflect.ValueOf(c)
		own[i] = v.Slice3(0, v.Len(), v.Len()).Interface() // so that added rows do not overwrite the caller's array
	}
	b.Queue(sql, &rows{own})
}

// Join appends the statements of another batch to b. Rows that were queued by [QueueRows] are added to those of b.
func Join(b, other *pgx.Batch) {
	for _, q := range other.QueuedQueries {
		if r, ok := rowsOf(q); ok {
			QueueRows(b, q.SQL, r.columns...)
		} else {
			// A copy, because pgx stores in a queued query which connection has prepared it.
			b.QueuedQueries = append(b.QueuedQueries, &pgx.QueuedQuery{SQL: q.SQL, Arguments: q.Arguments, Fn: q.Fn})
		}
	}
}

func rowsOf(q *pgx.QueuedQuery) (*rows, bool) {
	if len(q.Arguments) != 1 {
		return nil, false
	}
	r, ok := q.Arguments[0].(*rows)
	return r, ok
}
