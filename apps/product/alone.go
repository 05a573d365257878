package product

import (
	"context"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository"
	"souk/pkg/clock"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

// Searcher searches the service's database and nothing around it: the limit of what the service can answer,
// which benchmarks measure beside it. Close it.
type Searcher struct {
	store *repository.Store
	close func()
}

// OpenSearcher opens the database at url with so many connections.
func OpenSearcher(ctx context.Context, url string, conns int32) (*Searcher, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: conns})
	if err != nil {
		return nil, err
	}
	s := &Searcher{store: repository.New(pool, repository.Options{Clock: clock.System{}}), close: pool.Close}
	if err := s.store.LearnWords(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Search runs the statements of a search for a first page and returns how many products it has.
func (s *Searcher) Search(ctx context.Context, query string) (int, error) {
	found, err := s.store.Search(ctx, domain.Search{Query: query, Sort: domain.Relevance, PageSize: page.Size(0)})
	return len(found.Documents), err
}

// Close ends the connections.
func (s *Searcher) Close() {
	s.store.Close()
	s.close()
}
