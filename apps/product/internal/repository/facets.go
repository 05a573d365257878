package repository

import (
	"context"
	_ "embed" // for the statement below
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/pkg/money"
)

// priceSteps are the bounds between price ranges, in whole units of any currency.
var priceSteps = []int64{
	10,
	25,
	50,
	100,
	250,
	500,
	1_000,
	2_500,
	5_000,
	10_000,
	25_000,
	50_000,
	100_000,
	250_000,
	500_000,
	1_000_000,
	10_000_000,
}

//go:embed sql/facets.sql
var sqlFacets string

// facets counts the matches of a search on all its pages.
func (s *Store) facets(ctx context.Context, st *statement) (*domain.Facets, error) {
	steps := make([]int64, len(priceSteps))
	for i, step := range priceSteps {
		steps[i] = step * 10_000
	}
	st.arg(steps)                  // $1 of the statement
	st.arg(variantPath(st.search)) // $2
	// Products are counted in the range in which a search for it finds them, so what is asked of their price is left
	// out.
	asked := st.search
	asked.MinPrice, asked.MaxPrice = nil, nil
	sql := strings.NewReplacer("/* matches */ listing", "("+st.matches()+")", "/* price */ l.price", st.price(asked)).
		Replace(sqlFacets)
	f := &domain.Facets{}
	var stars [4]int64 // matches with at least 1 to 4
	err := st.run(ctx, sql, func(rows pgx.Rows) error {
		for rows.Next() {
			var kind, key, name string
			var bucket int
			var n int64
			if err := rows.Scan(&kind, &key, &name, &bucket, &n); err != nil {
				return err
			}
			switch kind {
			case "total":
				f.Total = n
			case "category":
				f.Categories = append(f.Categories, domain.Count{ID: key, Name: name, Count: n})
			case "shop":
				f.Shops = append(f.Shops, domain.Count{ID: key, Name: name, Count: n})
			case "option":
				f.Options = addOption(f.Options, key, domain.Count{Name: name, Count: n})
			case "rating":
				for i := range stars {
					if bucket >= i+1 {
						stars[i] += n
					}
				}
			case "price":
				f.Prices = append(f.Prices, priceCount(money.Currency(key), bucket, n))
			}
		}
		return rows.Err()
	})
	for i, n := range slices.Backward(stars[:]) {
		if n > 0 {
			f.Ratings = append(f.Ratings, domain.RatingCount{Min: int32(i + 1), Count: n}) //nolint:gosec // at most 4
		}
	}
	return f, err
}

func addOption(options []domain.OptionCounts, name string, value domain.Count) []domain.OptionCounts {
	i := slices.IndexFunc(options, func(o domain.OptionCounts) bool { return o.Name == name })
	if i < 0 {
		i = len(options)
		options = append(options, domain.OptionCounts{Name: name})
	}
	options[i].Values = append(options[i].Values, value)
	return options
}

func priceCount(c money.Currency, bucket int, n int64) domain.PriceCount {
	p := domain.PriceCount{From: money.New(0, c), Count: n}
	scale := 10_000 / domain.PriceScale(c)
	if bucket > 0 {
		p.From = money.New(priceSteps[bucket-1]*scale, c)
	}
	if bucket < len(priceSteps) {
		p.To = money.New(priceSteps[bucket]*scale, c)
	}
	return p
}
