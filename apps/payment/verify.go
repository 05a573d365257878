package payment

import (
	"context"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository"
	"souk/pkg/postgres"
)

// Finding is the outcome of one check: Count rows were looked at, Wrong of them break the rule.
type Finding = domain.Finding

// Verify checks what must hold in payment's own database, the sandbox's books included: the ledger sums
// to zero, what payments say was captured and refunded is what the provider booked, once each, and
// nothing has been open for long. Its errors are those of postgres.Err.
func Verify(ctx context.Context, db postgres.Querier) ([]Finding, error) {
	return repository.Verify(ctx, db)
}
