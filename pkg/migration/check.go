package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier is the part of a connection or pool that Check needs.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Check returns an error if a file of one of the sets has not run. A database that is ahead of the sets passes.
func Check(ctx context.Context, db Querier, sets ...Set) error {
	for _, s := range sets {
		versions, err := versionsOf(s.FS)
		if err != nil {
			return err
		}
		var version uint
		err = db.QueryRow(ctx, `select version from `+versionTable(s.Name)+` limit 1`).Scan(&version)
		if err != nil && !isUnversioned(err) {
			return fmt.Errorf("read the version of the schema: %w", err)
		}
		if latest := slices.Max(versions); version < latest {
			return fmt.Errorf(
				"the schema (%s) is at version %d, and this program needs %d: run souk migrate up",
				s.Name,
				version,
				latest,
			)
		}
	}
	return nil
}

// versionTable returns the quoted name of a set's version table.
func versionTable(name string) string { return pgx.Identifier{"schema_migrations_" + name}.Sanitize() }

// isUnversioned reports whether reading the version failed because no file has run.
func isUnversioned(err error) bool {
	const undefinedTable = "42P01"
	var pgErr *pgconn.PgError
	return errors.Is(err, pgx.ErrNoRows) || errors.As(err, &pgErr) && pgErr.Code == undefinedTable
}
