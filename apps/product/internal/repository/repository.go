// Package repository stores the catalogue, the stock and the search's read model in PostgreSQL, and caches
// products in Redis.
package repository

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/clock"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

const (
	// groupLimit is how many callers share a transaction or a statement at most.
	groupLimit = 256
	// groupParallel is how many of those go on at once for which one at a time is not better.
	groupParallel = 2
)

// Options are what a Store needs besides its database.
type Options struct {
	Clock clock.Clock
	// LowStock is the number of available pieces at which evt.inventory.low is published.
	LowStock int64
	// UnverifiedSell reports whether shops sell that no operator has verified. Nil: they don't.
	UnverifiedSell func() bool
	// Cache is invalidated after each commit that changes products; nil: no cache.
	Cache *Cache
	// Replica serves what the public reads of the catalogue, which may then be out of date; nil: the primary does.
	Replica *postgres.Replica
	// Wake is called after each commit that may have appended events. It may be nil.
	Wake func()
	// Learn is called when so many listings were written that [Store.LearnWords] should run. It may be nil.
	Learn func()
}

func (o Options) wake() {
	if o.Wake != nil {
		o.Wake()
	}
}

func (o Options) learn() {
	if o.Learn != nil {
		o.Learn()
	}
}

// Store stores everything that the product service owns.
type Store struct {
	pool *pgxpool.Pool
	q    *sqlc.Queries
	opts Options
	// group carries out operations together, but for those whose rows are locked by somebody else: they wait in
	// patient, and hold up no others.
	group, patient *batch.Batcher[queued, *domain.Reservation]
	offers         *batch.Batcher[[]string, []domain.Offer]

	// categories maps paths to category IDs. Categories are never renamed or removed.
	categories sync.Map
	words      atomic.Pointer[domain.Frequencies]
	unlearnt   atomic.Int64 // listings written since the words were learnt
	rated      rated
}

// New returns a store on pool. The caller must close it.
func New(pool *pgxpool.Pool, opts Options) *Store {
	s := &Store{pool: pool, q: sqlc.New(pool), opts: opts}
	s.group = batch.New(
		groupLimit,
		func(ctx context.Context, ops []queued) ([]batch.Result[*domain.Reservation], error) {
			return s.run(ctx, ops, false)
		},
	)
	s.patient = batch.New(
		groupLimit,
		func(ctx context.Context, ops []queued) ([]batch.Result[*domain.Reservation], error) {
			return s.run(ctx, ops, true)
		},
		batch.WithParallel(groupParallel),
	)
	s.offers = batch.New(groupLimit, s.runOffers, batch.WithParallel(groupParallel))
	return s
}

// Close refuses new operations and waits for those in flight.
func (s *Store) Close() {
	s.group.Close() // whose callers may go on to the patient ones
	s.patient.Close()
	s.offers.Close()
}

// changed invalidates the cache for products.
func (s *Store) changed(ctx context.Context, productIDs []string) {
	if s.opts.Cache != nil && len(productIDs) > 0 {
		s.opts.Cache.Changed(context.WithoutCancel(ctx), productIDs)
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, and maps, slices and structs of strings
	}
	return b
}

// list returns a copy of s that is never nil, so that it encodes as [].
func list[T any](s []T) []T { return append([]T{}, s...) }

func options(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func toProduct(r sqlc.ProductsByIDRow) (domain.Product, error) {
	p := domain.Product{
		ID:          r.ID,
		ShopID:      r.ShopID,
		Handle:      r.Handle,
		Title:       r.Title,
		Description: r.Description,
		CategoryID:  r.CategoryID,
		Tags:        r.Tags,
		Status:      domain.Status(r.Status),
		Version:     r.Version,
		ImportHash:  r.ImportHash,
		CreatedAt:   r.CreatedAt,
		UpdatedAt:   r.UpdatedAt,
	}
	return p, errors.Join(json.Unmarshal(r.Images, &p.Images), json.Unmarshal(r.Details, &p.Details))
}

func toVariant(r sqlc.VariantsRow) (domain.Variant, error) {
	c := money.Currency(r.Currency)
	v := domain.Variant{
		ID:       r.ID,
		SKU:      r.Sku,
		Price:    money.New(r.PriceMinor, c),
		OnHand:   &r.OnHand,
		Reserved: r.Reserved,
	}
	if r.CompareAtMinor != nil {
		v.CompareAt = money.New(*r.CompareAtMinor, c)
	}
	return v, errors.Join(json.Unmarshal(r.Options, &v.Options), json.Unmarshal(r.Details, &v.VariantDetails))
}

// variants reads the variants of products, by product.
func variants(ctx context.Context, q *sqlc.Queries, productIDs []string) (map[string][]domain.Variant, error) {
	rows, err := q.Variants(ctx, productIDs)
	if err != nil {
		return nil, postgres.Err(err)
	}
	byProduct := make(map[string][]domain.Variant, len(productIDs))
	for _, r := range rows {
		v, err := toVariant(r)
		if err != nil {
			return nil, err
		}
		byProduct[r.ProductID] = append(byProduct[r.ProductID], v)
	}
	return byProduct, nil
}
