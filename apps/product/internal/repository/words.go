package repository

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/postgres"
)

// learnEvery is the number of written listings after which the words are learnt again.
const learnEvery = 1000

// listed counts written listings and has the words learnt after every learnEvery of them, so that a search right after
// an import knows which of its words are common.
func (s *Store) listed(n int) {
	if s.unlearnt.Add(int64(n)) >= learnEvery {
		s.unlearnt.Store(0)
		s.opts.learn()
	}
}

// frequencies returns what the last LearnWords read.
func (s *Store) frequencies() domain.Frequencies {
	if f := s.words.Load(); f != nil {
		return *f
	}
	return domain.Frequencies{}
}

// LearnWords reads from the database's statistics how common words are. Searches rank by that. PostgreSQL makes new
// statistics if they are missing or half of the listings have changed since. LearnWords also moves the newest entries
// of the indexes to their place, where searches find them faster. The service calls it periodically.
func (s *Store) LearnWords(ctx context.Context) error {
	if err := s.q.CleanPendingLists(ctx); err != nil {
		return postgres.Err(err)
	}
	stale, err := s.q.ListingStatisticsAreStale(ctx)
	if err != nil {
		return postgres.Err(err)
	}
	if stale {
		if _, err := s.pool.Exec(ctx, "analyze listing", pgx.QueryExecModeSimpleProtocol); err != nil {
			return postgres.Err(err)
		}
	}
	rows, err := s.q.WordShares(ctx)
	if err != nil {
		return postgres.Err(err)
	}
	terms, err := s.q.AverageTerms(ctx)
	if err != nil {
		return postgres.Err(err)
	}
	products, err := s.q.ApproximateListings(ctx)
	if err != nil {
		return postgres.Err(err)
	}
	f := domain.Frequencies{Share: make(map[string]float64, len(rows)), Terms: terms, Products: products}
	for _, r := range rows {
		f.Share[r.Word] = r.Share
	}
	if len(rows) > 0 {
		rarest := slices.MinFunc(rows, func(a, b sqlc.WordSharesRow) int { return cmp.Compare(a.Share, b.Share) })
		f.Rest = min(rarest.Share/4, domain.Common/4)
	}
	s.words.Store(&f)
	return nil
}
