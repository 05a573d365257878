package order

import (
	"context"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository"
	"souk/pkg/postgres"
)

// Finding is the outcome of one check: Count rows were looked at, Wrong of them break the rule.
type Finding = domain.Finding

// Verify checks what must hold in order's own database: totals add up, parts fit their order, no checkout
// is stuck, each order that left pending told of it once. Its errors are those of postgres.Err.
func Verify(ctx context.Context, db postgres.Querier) ([]Finding, error) {
	return repository.Verify(ctx, db)
}
