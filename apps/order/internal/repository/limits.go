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
	mailbox    string
	now        time.Time
}

// Standing returns what the customer keeps without having paid for it, and how often the customer, or guests with the
// mailbox, cancelled.
// Concurrent callers share a statement.
func (s *Store) Standing(
	ctx context.Context,
	customerID string,
	mailbox []byte,
	now time.Time,
) (domain.Standing, error) {
	return s.standings.Submit(ctx, standing{customerID, string(mailbox), now})
}

func (s *Store) runStandings(ctx context.Context, items []standing) ([]batch.Result[domain.Standing], error) {
	now := items[0].now // that of the others differs by milliseconds
	arg := sqlc.StandingsParams{Since: now.Add(-domain.StandingPeriod), CancelledSince: now.Add(-domain.CancelPeriod)}
	for _, it := range items {
		arg.CustomerIds = append(arg.CustomerIds, it.customerID)
		arg.Mailboxes = append(arg.Mailboxes, []byte(it.mailbox))
	}
	rows, err := s.q.Standings(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	type key struct{ customerID, mailbox string }
	found := make(map[key]domain.Standing, len(rows))
	for _, r := range rows {
		found[key{r.CustomerID, string(r.Mailbox)}] = domain.Standing{
			Unpaid: int(r.Unpaid), Cancelled: int(r.Cancelled),
			LastCancelled: r.LastCancelled.UTC(),
		}
	}
	out := make([]batch.Result[domain.Standing], len(items))
	for i, it := range items {
		out[i].Value = found[key{it.customerID, it.mailbox}]
	}
	return out, nil
}

// ForgetGuestCancels deletes at most most cancellations of guests before a time, and returns their number.
func (s *Store) ForgetGuestCancels(ctx context.Context, _, before time.Time, most int) (int, error) {
	arg := sqlc.ForgetGuestCancelsParams{Before: before, Most: int32(most)} //nolint:gosec // a batch is small
	n, err := s.q.ForgetGuestCancels(ctx, arg)
	return int(n), postgres.Err(err)
}

// Expired returns the IDs of at most limit orders that waited too long for their money.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]string, error) {
	arg := sqlc.ExpiredParams{Now: now, Most: int32(limit)} //nolint:gosec // a batch is small
	ids, err := s.q.Expired(ctx, arg)
	return ids, postgres.Err(err)
}
