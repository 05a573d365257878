package postgres

import (
	"context"
	"errors"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// rows are the arguments of a set-based statement: one slice for each column, all of the same length.
type rows struct{ columns []any }

// RewriteQuery hands pgx the columns.
func (r *rows) RewriteQuery(_ context.Context, _ *pgx.Conn, sql string, _ []any) (newSQL string, args []any, err error) {
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

// QueueRows queues a statement that takes any number of rows, as slices that are its columns ("… from
// unnest($1::text[], $2::bigint[])"). If the batch has the same statement already, the rows join it: it runs once, at the
// place of the first. So the statement must not care which rows it runs with. Columns must be slices, or it panics.
func QueueRows(b *pgx.Batch, sql string, columns ...any) {
	for _, q := range b.QueuedQueries {
		if there, ok := rowsOf(q); ok && q.SQL == sql && len(there.columns) == len(columns) {
			for i, c := range columns {
				there.columns[i] = reflect.AppendSlice(reflect.ValueOf(there.columns[i]), reflect.ValueOf(c)).Interface()
			}
			return
		}
	}
	own := make([]any, len(columns))
	for i, c := range columns {
		v := reflect.ValueOf(c)
		own[i] = v.Slice3(0, v.Len(), v.Len()).Interface() // what joins must not show in the caller's slice
	}
	b.Queue(sql, &rows{own})
}

// Join queues the statements of another batch behind those of b; what [QueueRows] put there joins b's.
func Join(b, other *pgx.Batch) {
	for _, q := range other.QueuedQueries {
		if r, ok := rowsOf(q); ok {
			QueueRows(b, q.SQL, r.columns...)
		} else {
			// A copy: pgx notes in what it sends which connection has prepared it.
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
