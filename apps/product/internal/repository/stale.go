package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/postgres"
)

// clocksDiffer is by how much longer than a replica may be behind a changed product is read from the primary: for the
// difference between the speed of Redis's clock and of this process's.
const clocksDiffer = time.Second

// ReadFromPrimary returns how long after a change a product is read from the primary: longer than the replica may be
// behind; 0 without a replica.
func ReadFromPrimary(r *postgres.Replica) time.Duration {
	if r == nil {
		return 0
	}
	return r.Bound() + clocksDiffer
}

// stale runs a read that may be out of date: on the replica if there is one, and on the primary if the replica is down
// or too far behind. The read may run twice.
func (s *Store) stale(ctx context.Context, read func(context.Context, *pgxpool.Pool) error) error {
	if s.opts.Replica == nil {
		return read(ctx, s.pool)
	}
	return s.opts.Replica.Read(ctx, read)
}

// loadDocument reads a product for the cache. A stale one must not get there after the change has dropped the old one.
// So a product that was changed lately is read from the primary.
func (s *Store) loadDocument(ctx context.Context, productID string) (d domain.Document, err error) {
	if s.opts.Replica == nil || s.opts.Cache.changedLately(ctx, productID) {
		return document(ctx, s.q, productID)
	}
	err = s.opts.Replica.Read(ctx, func(ctx context.Context, db *pgxpool.Pool) error {
		d, err = document(ctx, sqlc.New(db), productID)
		return err
	})
	return d, err
}

func document(ctx context.Context, q *sqlc.Queries, productID string) (domain.Document, error) {
	r, err := q.Document(ctx, productID)
	if err != nil {
		return domain.Document{}, notFound(err)
	}
	return domain.Document{Visible: r.Visible, ShopID: r.ShopID, Bytes: r.Doc}, nil
}

// Search finds visible products. A page takes one statement, and one more for each stage that finds nothing. What it
// finds may be out of date, if there is a replica.
func (s *Store) Search(ctx context.Context, search domain.Search) (found domain.Found, err error) {
	err = s.stale(ctx, func(ctx context.Context, db *pgxpool.Pool) error {
		found, err = s.search(ctx, db, search)
		return err
	})
	return found, err
}

// run runs a statement. The statement of a search by words is long, and to plan it for the words of each
// query costs more than it gains. So it has one generic plan, which uses the index over the words. Otherwise
// PostgreSQL would underestimate the cost of reading a product's words and scan the whole table.
func (st *statement) run(ctx context.Context, sql string, read func(pgx.Rows) error) error {
	if len(st.groups) == 0 {
		rows, err := st.db.Query(ctx, sql, st.args...)
		if err != nil {
			return postgres.Err(err)
		}
		defer rows.Close()
		return postgres.Err(read(rows))
	}
	b := &pgx.Batch{}
	b.Queue(
		"select set_config('plan_cache_mode', 'force_generic_plan', true),"+
			" set_config('pg_trgm.word_similarity_threshold', $1, true)",
		typoSimilarity,
	)
	b.Queue(sql, st.args...).Query(read)
	return postgres.SendBatch(ctx, st.db, b)
}
