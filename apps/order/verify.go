package order

import (
	"context"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository"
	"souk/pkg/postgres"
)

// Finding is the outcome of one check: Count rows were examined, and Wrong of them break the rule.
type Finding = domain.Finding

// Verify checks the invariants of order's own database: totals add up, the states of shop orders match their
// order, every pending checkout has a running saga, confirmed orders have a payment, refused checkouts are
// unpaid, and no saga is parked. Its errors are those of postgres.Err.
func Verify(ctx context.Context, db postgres.Querier) ([]Finding, error) {
	return repository.Verify(ctx, db)
}
