package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// postgresBackend stores a collection in a table doc_{name}, with the documents as JSONB. Its indexes are
// expression indexes on the paths. NewCollection has checked that names and paths consist of safe characters, so
// they may be part of a statement. Values are always parameters.
type postgresBackend struct{ pool *pgxpool.Pool }

// Explicit collations make folding and order independent of the database's locale.
const (
	foldCollation  = `collate "und-x-icu"`
	orderCollation = `collate "C"`
)

func (c collection) table() string { return pgx.Identifier{"doc_" + c.name}.Sanitize() }

// physical returns the index's name in the database. It changes with the definition.
func (c collection) physical(ix Index) string {
	h := sha256.Sum256([]byte(indexSQL(ix)))
	return fmt.Sprintf("doc_%s_%s_%s", c.name, ix.Name, hex.EncodeToString(h[:4]))
}

// expression returns the SQL expression that the index has for a field.
func expression(ix Index, path string) string {
	e := `(doc #>> '{"` + strings.ReplaceAll(path, ".", `","`) + `"}')`
	if ix.Fold {
		e = `lower(` + e + ` ` + foldCollation + `)`
	}
	return `(` + e + ` ` + orderCollation + `)`
}

// parameter returns the SQL for the n-th parameter, in a form that compares with such an expression.
func parameter(ix Index, n int) string {
	if ix.Fold {
		return fmt.Sprintf(`(lower($%d::text %s) %s)`, n, foldCollation, orderCollation)
	}
	return fmt.Sprintf(`($%d::text %s)`, n, orderCollation)
}

func indexSQL(ix Index) string {
	var cols []string
	for _, f := range ix.Fields {
		cols = append(cols, expression(ix, f))
	}
	if ix.Unique { // NULLs are distinct: documents without the field do not collide
		return `unique ` + strings.Join(cols, ", ")
	}
	return strings.Join(append(cols, "id"), ", ")
}

func (b postgresBackend) ensure(ctx context.Context, c collection) error {
	err := postgres.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 9))`,
			"document "+c.name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `create table if not exists `+c.table()+` (
			id         text `+orderCollation+` primary key,
			revision   bigint not null,
			doc        jsonb not null,
			created_at timestamptz not null default now(),
			updated_at timestamptz not null default now())`)
		if err != nil {
			return err
		}
		var existing []string
		if err := tx.QueryRow(ctx, `
			select coalesce(array_agg(c.relname::text), '{}')
			from pg_index i join pg_class c on c.oid = i.indexrelid
			where i.indrelid = $1::regclass and not i.indisprimary`, c.table()).
			Scan(&existing); err != nil {
			return err
		}
		for _, ix := range c.indexes {
			name := c.physical(ix)
			if i := slices.Index(existing, name); i >= 0 {
				existing = slices.Delete(existing, i, i+1)
				continue
			}
			kind, cols := "", indexSQL(ix)
			if rest, ok := strings.CutPrefix(cols, "unique "); ok {
				kind, cols = "unique ", rest
			}
			if _, err := tx.Exec(ctx,
				`create `+kind+`index `+pgx.Identifier{name}.Sanitize()+` on `+c.table()+` (`+cols+`)`); err != nil {
				return err
			}
		}
		for _, name := range existing {
			if strings.HasPrefix(name, "doc_"+c.name+"_") {
				if _, err := tx.Exec(ctx, `drop index `+pgx.Identifier{name}.Sanitize()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return c.err(err)
}

func (b postgresBackend) get(ctx context.Context, c collection, ids []string) ([]raw, error) {
	rows, err := b.pool.Query(ctx, `select id, revision, doc from `+c.table()+` where id = any($1)`, ids)
	if err != nil {
		return nil, c.err(err)
	}
	raws, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (raw, error) {
		var r raw
		err := row.Scan(&r.id, &r.revision, &r.body)
		return r, err
	})
	return raws, c.err(err)
}

func (b postgresBackend) insert(ctx context.Context, c collection, id string, body []byte, events []event.Event) error {
	const values = ` (id, revision, doc) values ($1, 1, $2) returning id, revision as version`
	return b.write(ctx, c, `insert into `+c.table()+values, events, id, body)
}

func (b postgresBackend) replace(
	ctx context.Context, c collection, id string, revision int64, body []byte, events []event.Event,
) error {
	err := b.write(ctx, c, `update `+c.table()+` set doc = $3, revision = revision + 1, updated_at = now()
		where id = $1 and revision = $2 returning id, revision as version`, events, id, revision, body)
	if !errs.Is(err, errs.NotFound) {
		return err
	}
	raws, err := b.get(ctx, c, []string{id})
	if err != nil {
		return err
	}
	if len(raws) == 0 {
		return notFound()
	}
	return errs.New(errs.Conflict, "this was changed by somebody else meanwhile")
}

func (b postgresBackend) delete(ctx context.Context, c collection, id string, events []event.Event) error {
	return b.write(ctx, c, `delete from `+c.table()+` where id = $1 returning id, revision + 1 as version`, events, id)
}

// write runs a statement that returns the id and version of the row that it wrote. If it wrote one, the events are
// appended to the outbox in the same statement.
//
// Errors: not_found (it wrote none).
func (b postgresBackend) write(ctx context.Context, c collection, sql string, events []event.Event, args ...any) error {
	if len(events) > 0 {
		sql, args = outbox.WithEvents(sql, len(args)), append(args, outbox.Columns(events...)...)
	}
	err := b.pool.QueryRow(ctx, sql, args...).Scan(nil, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound()
	}
	return c.err(err)
}

func (b postgresBackend) find(ctx context.Context, c collection, f find) ([]raw, error) {
	sql, args := findSQL(c, f)
	rows, err := b.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, c.err(err)
	}
	raws, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (raw, error) {
		var r raw
		err := row.Scan(&r.id, &r.revision, &r.body, &r.keys)
		return r, err
	})
	return raws, c.err(err)
}

func findSQL(c collection, f find) (string, []any) {
	var args []any
	param := func(v any) int {
		args = append(args, v)
		return len(args)
	}
	var where, order []string
	for i, v := range f.equal {
		where = append(where, expression(f.index, f.index.Fields[i])+` = `+parameter(f.index, param(v)))
	}
	for i, path := range f.rest {
		e := expression(f.index, path)
		order = append(order, e)
		if i == 0 && f.prefix != "" {
			p := parameter(f.index, param(f.prefix))
			// U+10FFFF is a noncharacter: every text with the prefix sorts before prefix || U+10FFFF.
			where = append(where, e+` >= `+p, e+` < `+p+` || chr(1114111)`)
			continue
		}
		where = append(where, e+` is not null`)
	}
	keys := `array[` + strings.Join(order, ", ") + `]::text[]`
	order = append(order, "id")
	direction, compare := "", ">"
	if f.index.Descending {
		direction, compare = " desc", "<"
	}
	if f.after != nil {
		var ps []string
		for _, k := range append(slices.Clone(f.after.Keys), f.after.ID) {
			ps = append(ps, fmt.Sprintf(`($%d::text %s)`, param(k), orderCollation))
		}
		where = append(where, `(`+strings.Join(order, ", ")+`) `+compare+` (`+strings.Join(ps, ", ")+`)`)
	}
	sql := `select id, revision, doc, ` + keys + ` from ` + c.table()
	if len(where) > 0 {
		sql += ` where ` + strings.Join(where, ` and `)
	}
	sql += fmt.Sprintf(` order by %s%s limit $%d`, strings.Join(order, direction+", "), direction, param(f.limit))
	return sql, args
}

// err maps PostgreSQL's errors to the codes that [Collection] documents.
func (c collection) err(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "23505": // unique_violation
			if pgErr.ConstraintName == "doc_"+c.name+"_pkey" {
				return taken("id", err)
			}
			for _, ix := range c.indexes {
				if pgErr.ConstraintName == c.physical(ix) {
					return taken(ix.Name, err)
				}
			}
		case "54000": // program_limit_exceeded: the value of an index
			return tooLarge(err)
		case "22P05", "22021": // untranslatable_character, character_not_in_repertoire: NUL, or not UTF-8
			return errs.Wrap(err, errs.Invalid, "a text contains a character that cannot be kept")
		}
	}
	return postgres.Err(err)
}
