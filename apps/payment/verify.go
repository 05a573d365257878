package payment

import (
	"context"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository"
	"souk/pkg/postgres"
)

// Finding is the result of one check: of Count rows checked, Wrong break the rule.
type Finding = domain.Finding

// Verify checks the invariants of payment's own database, including the sandbox's books: the ledger sums to
// zero, the provider booked every captured and refunded amount exactly once, and no outcome has been open for
// long.
//
// Errors: those of postgres.Err.
func Verify(ctx context.Context, db postgres.Querier) ([]Finding, error) {
	return repository.Verify(ctx, db)
}
