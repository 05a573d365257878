package service

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/money"
)

// Provider moves money. Every call is idempotent by the payment's ID (a refund by its own), and answers
// with where the charge stands afterwards, which need not be where the call wanted it.
//
// An error means that nobody knows: timeout and unavailable are asked again with the same key. Refund
// fails with conflict when the provider will never do it, Status with not_found when it knows no such charge.
type Provider interface {
	Authorize(ctx context.Context, paymentID, token string, amount money.Money) (domain.Charge, error)
	Capture(ctx context.Context, paymentID string) (domain.Charge, error)
	// Void makes sure that nothing is captured any more, of a charge that never arrived, too.
	Void(ctx context.Context, paymentID string) (domain.Charge, error)
	Refund(ctx context.Context, paymentID, refundID string, amount money.Money) error
	Status(ctx context.Context, paymentID string) (domain.Charge, error)
	// ReadWebhook checks the signature and reads the body, which holds one notice or several. Its errors:
	// unauthenticated, invalid_argument.
	ReadWebhook(body []byte, signature string) ([]domain.Notice, error)
}

// Telling makes the event of a refund that was done, from the payment as it is then.
type Telling = func(p domain.Payment, amount money.Money) (event.Event, error)

// Store keeps payments. Everything it writes goes together with its events.
// Its errors are those of postgres.Err, and not_found.
type Store interface {
	// Initiate makes p unless its order has a payment, and returns the payment that the order has.
	Initiate(ctx context.Context, p domain.Payment, told event.Event) (domain.Payment, error)
	// Bury leaves p, a tombstone, unless its order has a payment, and returns the payment that the order has.
	Bury(ctx context.Context, p domain.Payment) (domain.Payment, error)
	// Settle moves a payment if the state machine lets it, and returns how it is now.
	// An event without an ID is none.
	Settle(ctx context.Context, s domain.Settlement, told event.Event) (domain.Payment, error)
	ByOrder(ctx context.Context, orderID string) (domain.Payment, error)
	ByID(ctx context.Context, paymentID string) (domain.Payment, error)
	Owned(ctx context.Context, paymentID, customerID string) (domain.Payment, error)
	// Adopt makes a guest's payments for the orders a user's.
	Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error
	// RequestVoid marks a payment that is not captured yet; from then on nobody starts to capture it.
	RequestVoid(ctx context.Context, paymentID string, at time.Time) error
	// BeginRefund returns the refund with the key, and makes it when there is none (conflict,
	// unprocessable, invalid_argument: see domain.Payment.Claim; idempotency_mismatch).
	BeginRefund(ctx context.Context, orderID string, r domain.Refund, amount *money.Money, at time.Time) (domain.Payment, domain.Refund, error)
	// EndRefund ends a refund, once.
	EndRefund(ctx context.Context, e domain.RefundEnd, tell Telling) (domain.Payment, error)
	// ByIDs returns those of the payments that there are.
	ByIDs(ctx context.Context, paymentIDs []string) (map[string]domain.Payment, error)
	// NoteWebhooks remembers notices that change nothing, and returns how many were new. An outage may forget them.
	NoteWebhooks(ctx context.Context, webhooks []domain.Webhook) (int, error)
	// TakeWebhook remembers a notice, unless it was there before, and in the same transaction moves the
	// payment as decide says (nil: not at all) and ends the notice's refund.
	TakeWebhook(ctx context.Context, w domain.Webhook, decide func(domain.Payment) (*domain.Settlement, event.Event, error), tell Telling) (duplicate bool, err error)
	// AskOpen returns payments whose end is open and about which nobody has asked since before the time, those first
	// that wait for longest, and notes that they are asked about at the given one. AskOpenRefunds does so with refunds.
	AskOpen(ctx context.Context, before, at time.Time, limit int) ([]domain.Payment, error)
	AskOpenRefunds(ctx context.Context, before, at time.Time, limit int) ([]domain.Refund, error)
	// ForgetWebhooks deletes notices that were received before the time, at most so many, and returns how many.
	ForgetWebhooks(ctx context.Context, before time.Time, limit int) (int, error)
}

// Deps are what a Service needs. All are required.
type Deps struct {
	Store    Store
	Breakers *breaker.Registry
	Clock    clock.Clock
	Logger   *zap.Logger
	// Provider moves the money of new payments; ProviderName is what it is called in payments and webhooks.
	Provider     Provider
	ProviderName string
	// ProviderTimeout bounds one call to the provider.
	ProviderTimeout time.Duration
}
