package module

import (
	"context"

	"github.com/jackc/pgx/v5"

	"souk/pkg/postgres"
)

// Finding is the outcome of one check of a service's own database: Count rows were examined, and Wrong of them break
// the rule.
type Finding struct {
	Check string
	Count int64
	Wrong int64
	// Example is the ID of a row that breaks the rule; "" if Wrong is 0.
	Example string
}

// Verify checks the module's invariants in its database. A module without invariants has no findings.
//
// Errors: those of [postgres.Err].
func (m Module) Verify(ctx context.Context, db postgres.Querier) ([]Finding, error) {
	var queries []string
	if m.Invariants != "" {
		queries = append(queries, m.Invariants)
	}
	for name, sql := range m.SchemaInvariants {
		const find = `select to_regnamespace($1) is not null or to_regclass($1) is not null`
		var exists bool
		if err := db.QueryRow(ctx, find, name).Scan(&exists); err != nil {
			return nil, postgres.Err(err)
		}
		if exists {
			queries = append(queries, sql)
		}
	}
	var out []Finding
	for _, sql := range queries {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			return nil, postgres.Err(err)
		}
		if out, err = pgx.AppendRows(out, rows, pgx.RowToStructByPos[Finding]); err != nil {
			return nil, postgres.Err(err)
		}
	}
	return out, nil
}
