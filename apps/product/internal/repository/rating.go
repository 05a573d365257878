package repository

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/postgres"
)

// dropTimeout bounds the time to drop products with new ratings from the cache.
const dropTimeout = 2 * time.Second

// rated are the products whose ratings have changed since the last [Store.DropRated].
type rated struct {
	mu  sync.Mutex
	ids []string
}

// RatingChanged stores what an event says about a product's reviews, in the transaction of the event's inbox row. An
// event that is not newer than the stored version changes nothing, so events may arrive in any order. Only what shows
// the rating is written. Call [Store.DropRated] after the commit.
func (s *Store) RatingChanged(ctx context.Context, tx pgx.Tx, r domain.Rating) error {
	q := s.q.WithTx(tx)
	newer, err := q.SaveRating(ctx, sqlc.SaveRatingParams{
		ProductID: r.ProductID, Average: r.Average, Count: r.Count, Version: r.Version,
	})
	if err != nil || newer == 0 {
		return postgres.Err(err)
	}
	// The lock makes a transaction that is refreshing the listing either finish first or read this rating.
	doc, err := q.LockDocument(ctx, r.ProductID)
	if errors.Is(err, pgx.ErrNoRows) { // the product is deleted
		return nil
	}
	if err != nil {
		return postgres.Err(err)
	}
	p := &productv1.Product{}
	if err := proto.Unmarshal(doc, p); err != nil {
		return err
	}
	p.Rating = &productv1.Rating{Average: r.Average, Count: r.Count}
	if doc, err = (proto.MarshalOptions{Deterministic: true}).Marshal(p); err != nil {
		return err
	}
	arg := sqlc.RateListingParams{ProductID: r.ProductID, RatingAvg: r.Average, RatingCount: r.Count, Doc: doc}
	if err := q.RateListing(ctx, arg); err != nil {
		return postgres.Err(err)
	}
	s.rated.mu.Lock()
	defer s.rated.mu.Unlock()
	s.rated.ids = append(s.rated.ids, r.ProductID)
	return nil
}

// ResetRatings lets the next event about each product's reviews count, whatever its version, and returns the products
// that have a rating.
func (s *Store) ResetRatings(ctx context.Context) ([]string, error) {
	ids, err := s.q.ResetRatings(ctx)
	return ids, postgres.Err(err)
}

// DropRated drops products with new ratings from the cache. Lists, which are cached for seconds only, stay: a review
// must not make every list of the catalogue be read again.
func (s *Store) DropRated() {
	s.rated.mu.Lock()
	ids := s.rated.ids
	s.rated.ids = nil
	s.rated.mu.Unlock()
	if s.opts.Cache == nil || len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	s.opts.Cache.drop(ctx, ids, nil)
}
