package repository

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"

	"souk/apps/payment/internal/domain"
	"souk/pkg/postgres"
)

//go:embed verify.sql
var verifySQL string

// Verify runs the checks of verify.sql.
func Verify(ctx context.Context, db postgres.Querier) ([]domain.Finding, error) {
	rows, err := db.Query(ctx, verifySQL)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.Finding])
	return out, postgres.Err(err)
}
