package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/cart/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/event"
)

const (
	// forgetEvery is the poll interval for expired carts.
	forgetEvery = time.Hour
	// abandonEvery is the poll interval for abandoned carts, and abandonBatch the most carts of a pass.
	abandonEvery = 5 * time.Second
	abandonBatch = 200
	// abandonWithin is how long a cart is looked for after its time, so that no customer gets a notice of an old cart
	// when the setting is switched on.
	abandonWithin = 3 * 24 * time.Hour
	// lastWriteBack bounds the write-back at a shutdown.
	lastWriteBack = 5 * time.Second
)

// Backup writes carts to PostgreSQL.
type Backup interface {
	// WriteBack writes a batch of carts that are due, or of all dirty carts if all is set. It returns how many it
	// took.
	WriteBack(ctx context.Context, all bool) (int, error)
}

// WriteBack returns a loop that polls for carts that are due and writes them back. When ctx ends, it writes back
// all dirty carts and returns.
func WriteBack(b Backup, interval time.Duration, log *zap.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		err := chore.Chore{
			Name: "write carts back", Every: interval, Batch: 1, Logger: log,
			Pass: func(ctx context.Context, _ time.Time) (int, error) { return b.WriteBack(ctx, false) },
		}.Run(ctx)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriteBack)
		defer cancel()
		for n := 1; n > 0; {
			var failure error
			if n, failure = b.WriteBack(ctx, true); failure != nil {
				log.Warn("carts not written back at the end; another process does it", zap.Error(failure))
				break
			}
		}
		return err
	}
}

// Forget returns a chore that deletes expired carts. forget deletes a batch of them and returns their number.
func Forget(forget func(context.Context) (int64, error), log *zap.Logger) func(context.Context) error {
	return chore.Chore{
		Name: "delete old carts", Every: forgetEvery, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			n, err := forget(ctx)
			return int(n), err
		},
	}.Run
}

// SubjectAbandoned is the event that a cart was abandoned.
const SubjectAbandoned = "evt.cart.abandoned"

// Carts marks carts as abandoned.
type Carts interface {
	// Abandon marks at most limit carts that were last changed after from and not after until, and appends their
	// events. It returns the number of events.
	Abandon(
		ctx context.Context, from, until time.Time, limit int, newEvent func(domain.Cart) (event.Event, error),
	) (int, error)
}

// Abandon returns a chore that publishes each abandoned cart. After returns how long a cart must be unchanged; 0: none
// is abandoned. While the setting is not known, none is either. It calls wake after it has appended events.
func Abandon(
	carts Carts, after func() (age time.Duration, known bool), wake func(), c clock.Clock, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "find abandoned carts", Every: abandonEvery, Batch: abandonBatch, Clock: c, Logger: log,
		Pass: func(ctx context.Context, now time.Time) (int, error) {
			age, known := after()
			if age == 0 || !known {
				return 0, nil
			}
			until := now.Add(-age)
			n, err := carts.Abandon(ctx, until.Add(-abandonWithin), until, abandonBatch,
				func(cart domain.Cart) (event.Event, error) {
					return event.New(ctx, SubjectAbandoned, cart.OwnerID, cart.Version, now,
						&cartv1.CartAbandoned{UserId: cart.OwnerID, CartVersion: cart.Version})
				})
			if n > 0 && err == nil {
				wake()
			}
			return n, err
		},
	}.Run
}
