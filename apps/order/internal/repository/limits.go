package repository

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/postgres"
)

// standing is a customer whose standing is read as of a time.
type standing struct {
	customerID string
	now        time.Time
}

// Standing returns what the customer keeps without having paid for it, and how often the customer cancelled.
// Concurrent callers share a statement.
func (s *Store) Standing(ctx context.Context, customerID string, now time.Time) (domain.Standing, error) {
	return s.standings.Submit(ctx, standing{customerID, now})
}

func (s *Store) runStandings(ctx context.Context, items []standing) ([]batch.Result[domain.Standing], error) {
	now := items[0].now // that of the others differs by milliseconds
	arg := sqlc.StandingsParams{Since: now.Add(-domain.StandingPeriod), CancelledSince: now.Add(-domain.CancelPeriod)}
	for _, it := range items {
		arg.CustomerIds = append(arg.CustomerIds, it.customerID)
	}
	rows, err := s.q.Standings(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[string]domain.Standing, len(rows))
	for _, r := range rows {
		found[r.CustomerID] = domain.Standing{
			Unpaid: int(r.Unpaid), Cancelled: int(r.Cancelled),
			LastCancelled: r.LastCancelled.UTC(),
		}
	}
	out := make([]batch.Result[domain.Standing], len(items))
	for i, it := range items {
		out[i].Value = found[it.customerID]
	}
	return out, nil
}

// Expired returns the IDs of at most limit orders that waited too long for their money.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]string, error) {
	arg := sqlc.ExpiredParams{Now: now, Most: int32(limit)} //nolint:gosec // a batch is small
	ids, err := s.q.Expired(ctx, arg)
	return ids, postgres.Err(err)
}
