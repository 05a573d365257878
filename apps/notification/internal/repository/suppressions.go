package repository

import (
	"context"
	_ "embed" // the statements below
	"time"

	"souk/apps/notification/internal/domain"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/suppress.sql
	suppress string
	//go:embed sql/list_suppressions.sql
	listSuppressions string
	//go:embed sql/lift_suppression.sql
	liftSuppression string
	//go:embed sql/forget_suppressions.sql
	forgetSuppressions string
)

// Suppress adds a mailbox to the suppression list, or prolongs its suppression, and returns that as it is stored.
func (s *Store) Suppress(ctx context.Context, mailbox []byte, v domain.Suppression) (domain.Suppression, error) {
	got, err := collect[domain.Suppression](
		s.pool.Query(ctx, suppress, v.ID, mailbox, v.Source, v.Reason, v.CreatedAt, v.ExpiresAt))
	if err != nil {
		return domain.Suppression{}, err
	}
	return got[0], nil
}

// Suppressions returns a page of the suppression list as of a time, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (s *Store) Suppressions(
	ctx context.Context, now time.Time, r page.Request,
) ([]domain.Suppression, string, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Suppression, error) {
		return collect[domain.Suppression](s.pool.Query(ctx, listSuppressions, before, now, limit))
	}
	return page.List(ctx, r, "", read, func(v domain.Suppression) string { return v.ID })
}

// Lift takes a mailbox off the suppression list, if it is there.
func (s *Store) Lift(ctx context.Context, mailbox []byte) error {
	_, err := s.pool.Exec(ctx, liftSuppression, mailbox)
	return postgres.Err(err)
}

// ForgetSuppressions deletes at most limit suppressions that ended before the given time, and returns how many.
func (s *Store) ForgetSuppressions(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, forgetSuppressions, before, limit)
	return int(tag.RowsAffected()), postgres.Err(err)
}
