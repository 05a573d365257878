package verify

import (
	"context"
	_ "embed"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/postgres"
)

//go:embed ratings.sql
var sqlRatings string

const sqlShownRatings = `select product_id, version, count, average from rating`

// rating is what the reviews of a product add up to, as a database has it.
type rating struct {
	ProductID string
	Version   int64
	Count     int32
	Average   float64
}

// agrees reports whether two databases say the same of a product. Averages are rounded to two digits.
func (r rating) agrees(other rating) bool {
	return r.Count == other.Count && math.Abs(r.Average-other.Average) < 0.01
}

// ratings checks that the catalogue shows what the reviews add up to. A product whose reviews change counts as wrong
// only if the catalogue still differs after RecheckDelay from a rating that has not changed.
func (s Sources) ratings(ctx context.Context) (Check, error) {
	c := Check{Name: "ratings_shown", Rule: "the catalogue shows what the reviews of a product add up to"}
	checked, suspects, err := s.differing(ctx)
	c.Checked = int64(checked)
	if err != nil || len(suspects) == 0 {
		return c, err
	}
	if err := wait(ctx, s.RecheckDelay); err != nil {
		return c, err
	}
	_, still, err := s.differing(ctx)
	for _, productID := range sorted(still) {
		if before, ok := suspects[productID]; !ok || before != still[productID] {
			continue
		}
		if c.Wrong++; c.Wrong <= shown {
			c.Examples = append(c.Examples, productID)
		}
	}
	return c, err
}

// differing returns the ratings that the catalogue shows differently, by product.
func (s Sources) differing(ctx context.Context) (checked int, wrong map[string]rating, err error) {
	// The catalogue is read first: it is never ahead of the reviews.
	inCatalogue, err := readRatings(ctx, s.Product, sqlShownRatings)
	if err != nil {
		return 0, nil, fmt.Errorf("product: %w", err)
	}
	var exists bool // not before the service has started for the first time
	const find = `select to_regclass('doc_ratings') is not null`
	if err := s.Comment.QueryRow(ctx, find).Scan(&exists); err != nil {
		return 0, nil, fmt.Errorf("comment: %w", postgres.Err(err))
	}
	if !exists {
		return 0, nil, nil
	}
	added, err := readRatings(ctx, s.Comment, sqlRatings)
	if err != nil {
		return 0, nil, fmt.Errorf("comment: %w", err)
	}
	wrong = map[string]rating{}
	for productID, r := range added {
		if !r.agrees(inCatalogue[productID]) {
			wrong[productID] = r
		}
	}
	for productID, r := range inCatalogue {
		if _, ok := added[productID]; !ok && r.Count > 0 {
			wrong[productID] = rating{ProductID: productID}
		}
	}
	return len(added), wrong, nil
}

func readRatings(ctx context.Context, pool *pgxpool.Pool, sql string) (map[string]rating, error) {
	found := map[string]rating{}
	err := snapshot(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[rating])
		for _, r := range all {
			found[r.ProductID] = r
		}
		return err
	})
	return found, err
}
