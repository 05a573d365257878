package service

import (
	"context"
	"time"

	"souk/apps/order/internal/domain"
	"souk/pkg/errs"
)

const (
	// salesDays is the longest range of sales, in days: a leap year.
	salesDays = 366
	// salesDefault is the range of sales, in days, if none is given.
	salesDefault = 30
)

// Sales returns what a shop sold, by day and currency. shop is an ID or a handle. first and last are dates such as
// 2026-11-29. An empty last is today, and an empty first makes a range of 30 days.
//
// Errors: invalid_argument, not_found (also if the caller is neither a member of the shop nor an operator),
// unavailable.
func (s *Service) Sales(ctx context.Context, shop, first, last string) ([]domain.SalesDay, error) {
	to := s.Clock.Now().UTC().Truncate(24 * time.Hour)
	var err error
	if last != "" {
		if to, err = time.Parse(time.DateOnly, last); err != nil {
			return nil, errs.InvalidField("to", "is not a day of the calendar")
		}
	}
	from := to.AddDate(0, 0, 1-salesDefault)
	if first != "" {
		if from, err = time.Parse(time.DateOnly, first); err != nil {
			return nil, errs.InvalidField("from", "is not a day of the calendar")
		}
	}
	switch {
	case from.After(to):
		return nil, errs.InvalidField("from", "is after the last day")
	case from.AddDate(0, 0, salesDays).Compare(to) <= 0:
		return nil, errs.InvalidField("from", "is more than %d days before the last day", salesDays-1)
	}
	shopID, err := s.shopOf(ctx, shop)
	if err != nil {
		return nil, err
	}
	return s.Store.Sales(ctx, shopID, from, to)
}
