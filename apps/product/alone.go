package product

import (
	"context"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository"
	"souk/pkg/clock"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

// Searcher searches the database directly, without the service around it. Benchmarks compare the service with
// this limit. The caller must close it.
type Searcher struct {
	store *repository.Store
	close func()
}

// OpenSearcher opens the database at url with at most conns connections.
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

// Search searches for the first page of query and returns how many products it has.
func (s *Searcher) Search(ctx context.Context, query string) (int, error) {
	found, err := s.store.Search(ctx, domain.Search{Query: query, Sort: domain.Relevance, PageSize: page.Size(0)})
	return len(found.Documents), err
}

// Close closes the connections.
func (s *Searcher) Close() {
	s.store.Close()
	s.close()
}
