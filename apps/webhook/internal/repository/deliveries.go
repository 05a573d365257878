package repository

import (
	"context"
	_ "embed"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/webhook/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/jobs"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/consume.sql
	consumeSQL string
	consume    = jobs.WithJobs(consumeSQL, maxAttempts)
	//go:embed sql/forget_tests.sql
	forgetTests string
	//go:embed sql/add_delivery.sql
	addDeliverySQL string
	addDelivery    = jobs.WithJobs(addDeliverySQL, maxAttempts)
	//go:embed sql/get_delivery.sql
	getDelivery string
	//go:embed sql/list_deliveries.sql
	listDeliveries string
	//go:embed sql/redeliver.sql
	redeliverSQL string
	redeliver    = jobs.WithJobs(redeliverSQL, maxAttempts)
	//go:embed sql/next_attempt.sql
	nextAttempt string
	//go:embed sql/finish_attempt.sql
	finishAttempt string
	//go:embed sql/forget_deliveries.sql
	forgetDeliveries string
)

// Consume returns a handler of events that queues what they say to webhooks.
func (s *Store) Consume(read func(event.Event) ([]domain.Message, error), c clock.Clock) outbox.Queuer {
	return func(_ context.Context, b *pgx.Batch, e event.Event) error {
		messages, err := read(e)
		if err != nil {
			return err
		}
		for _, m := range messages {
			postgres.QueueRow(b, consume, m.EventID, m.Event, m.ShopID, m.Body, m.At, c.Now())
		}
		return nil
	}
}

// Deliveries returns at most limit deliveries of a webhook from before an ID, newest first: those with the status, or
// all if it is "".
func (s *Store) Deliveries(
	ctx context.Context, webhookID string, status domain.Status, before string, limit int,
) ([]domain.Delivery, error) {
	return allOf[domain.Delivery](s.pool.Query(ctx, listDeliveries, webhookID, before, status, limit))
}

// Delivery returns a delivery.
//
// Errors: not_found.
func (s *Store) Delivery(ctx context.Context, deliveryID string) (domain.Delivery, error) {
	return oneOf[domain.Delivery](s.pool.Query(ctx, getDelivery, deliveryID))
}

// Test queues a test message, and deletes those from before the last domain.MaxTests.
//
// Errors: conflict (the webhook is disabled, or deleted).
func (s *Store) Test(ctx context.Context, webhookID string, m domain.Message) (d domain.Delivery, err error) {
	deliveryID := id.New(id.WebhookDelivery)
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		queues, err := tx.Exec(ctx, addDelivery, deliveryID, webhookID, m.EventID, m.Event, m.Body, m.At)
		if err != nil {
			return err
		}
		if queues.RowsAffected() == 0 {
			return disabled()
		}
		if _, err = tx.Exec(ctx, forgetTests, webhookID, m.Event, domain.MaxTests); err != nil {
			return err
		}
		d, err = oneOf[domain.Delivery](tx.Query(ctx, getDelivery, deliveryID))
		return err
	})
	return d, postgres.Err(err)
}

// Redeliver begins a new round of a delivery. It replaces the one before, which may still be at an attempt.
//
// Errors: conflict (the webhook is disabled, or deleted).
func (s *Store) Redeliver(ctx context.Context, deliveryID string, at time.Time) (d domain.Delivery, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		queues, err := tx.Exec(ctx, redeliver, deliveryID, at)
		if err != nil {
			return err
		}
		if queues.RowsAffected() == 0 {
			return disabled()
		}
		d, err = oneOf[domain.Delivery](tx.Query(ctx, getDelivery, deliveryID))
		return err
	})
	return d, postgres.Err(err)
}

func disabled() error { return errs.New(errs.Conflict, "the webhook is disabled") }

// Next returns what the next attempt of a round needs. It finds nothing if the round has ended.
func (s *Store) Next(
	ctx context.Context, deliveryID string, round int, at time.Time,
) (a domain.Attempt, found bool, err error) {
	a, err = oneOf[domain.Attempt](s.pool.Query(ctx, nextAttempt, deliveryID, round, at))
	if errs.Is(err, errs.NotFound) {
		return a, false, nil
	}
	return a, err == nil, err
}

// Finish records an attempt; next is when the next one is due, nil if none follows. It does nothing if the round has
// ended meanwhile.
func (s *Store) Finish(ctx context.Context, a domain.Attempt, o domain.Outcome, next *time.Time) error {
	status, attempts, givenUp := domain.Queued, 1, 0
	switch {
	case o.Failure == "":
		status = domain.Delivered
	case next == nil:
		status = domain.Failed
		if a.Event != domain.TestEvent {
			givenUp = 1
		}
	}
	if o.Skipped {
		attempts = 0
	}
	_, err := s.pool.Exec(
		ctx,
		finishAttempt,
		a.DeliveryID,
		a.Round,
		status,
		attempts,
		o.ResponseStatus,
		o.Failure,
		o.At,
		next,
		givenUp,
		o.Gone(),
		domain.GivenUp,
		o.At.Add(-domain.FailingFor),
	)
	return postgres.Err(err)
}

// Forget deletes at most most deliveries that were queued before the given time and have ended, and returns their
// number.
func (s *Store) Forget(ctx context.Context, before time.Time, most int) (int, error) {
	gone, err := s.pool.Exec(ctx, forgetDeliveries, before, most)
	return int(gone.RowsAffected()), postgres.Err(err)
}
