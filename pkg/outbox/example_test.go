package outbox_test

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// An order is confirmed, and an event about it is appended in the same transaction.
func ExampleAppend() {
	_ = func(ctx context.Context, pool *pgxpool.Pool, relay *outbox.Relay, orderID string, at time.Time) error {
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			var version int64
			err := tx.QueryRow(ctx,
				`update orders set status = 'confirmed', version = version + 1 where id = $1 returning version`,
				orderID).
				Scan(&version)
			if err != nil {
				return postgres.Err(err)
			}
			e, err := event.New(ctx, "evt.order.confirmed", orderID, version, at,
				&orderv1.OrderConfirmed{OrderId: orderID})
			if err != nil {
				return err
			}
			return outbox.Append(ctx, tx, e)
		})
		if err == nil {
			relay.Wake()
		}
		return err
	}
	// Output:
}

// A read model consumes the events of orders. Its rows and the inbox rows commit in one transaction.
func ExampleNewConsumer() {
	_ = func(ctx context.Context, js jetstream.JetStream, pool *pgxpool.Pool) error {
		c := outbox.NewConsumer(js, pool, outbox.ConsumerOptions{
			Service:  "product",
			Purpose:  "sales",
			Subjects: []string{"evt.order.confirmed"},
			Handler: func(ctx context.Context, tx pgx.Tx, e event.Event) error {
				var confirmed orderv1.OrderConfirmed
				if err := e.Decode(&confirmed); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `insert into sale (order_id, sold_at) values ($1, $2)`, confirmed.GetOrderId(),
					e.Time)
				return postgres.Err(err)
			},
		})
		return c.Run(ctx)
	}
	// Output:
}
