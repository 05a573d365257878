package cqrs_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/cqrs"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

// A copy of the titles of products, which another service owns. Its rebuild locks out the consumer, and then reads what
// the product service has.
func ExampleProjection() {
	_ = cqrs.Projection{
		Name:      "titles",
		Shows:     "the title of each product",
		Consumers: []string{"products"},
		Source:    "product",
		Unit:      "titles",
		Rows:      cqrs.Count("title"),
		Rebuild: func(ctx context.Context, db cqrs.DB, products cqrs.States) (n int, err error) {
			err = postgres.InTx(ctx, db.Pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `lock table title in share row exclusive mode`); err != nil {
					return postgres.Err(err)
				}
				if _, err := tx.Exec(ctx, `delete from title`); err != nil {
					return postgres.Err(err)
				}
				n, err = products(ctx, nil, func(e event.Event) error {
					var m productv1.ProductUpdated
					if err := e.Decode(&m); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, `insert into title (product_id, version) values ($1, $2)`,
						m.GetProductId(), e.AggregateVersion)
					return postgres.Err(err)
				})
				return err
			})
			return n, err
		},
	}
}
