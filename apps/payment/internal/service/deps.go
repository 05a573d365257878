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

// Provider moves money. Every call is idempotent by the payment's ID (a refund by its own ID) and returns the
// charge as it is afterwards, which need not be the state that the call asked for.
//
// After timeout and unavailable the outcome is unknown: ask again with the same key.
//
// Errors: timeout, unavailable; Refund: conflict (the provider will never do it); Status: not_found (no such
// charge).
type Provider interface {
	Authorize(ctx context.Context, paymentID, token string, amount money.Money) (domain.Charge, error)
	Capture(ctx context.Context, paymentID string) (domain.Charge, error)
	// Void makes sure that nothing is captured from now on, even if the charge has not arrived yet.
	Void(ctx context.Context, paymentID string) (domain.Charge, error)
	Refund(ctx context.Context, paymentID, refundID string, amount money.Money) error
	Status(ctx context.Context, paymentID string) (domain.Charge, error)
	// Charges lists the charges after a position, the oldest first, at most limit of them.
	Charges(ctx context.Context, after domain.ChargePosition, limit int) ([]domain.BookedCharge, error)
	// ReadWebhook checks the signature and reads the notices in the body, one or several.
	//
	// Errors: unauthenticated, invalid_argument.
	ReadWebhook(body []byte, signature string) ([]domain.Notice, error)
}

// RefundEvent makes the event of a refund that is done; p is the payment after the refund.
type RefundEvent = func(p domain.Payment, amount money.Money) (event.Event, error)

// Store keeps payments. Every change and its events are committed in one transaction.
//
// Errors: those of postgres.Err, not_found.
type Store interface {
	// Initiate inserts p unless its order has a payment, and returns the order's payment.
	Initiate(ctx context.Context, p domain.Payment, ev event.Event) (domain.Payment, error)
	// CreateTombstone inserts p, a tombstone, unless its order has a payment, and returns the order's
	// payment.
	CreateTombstone(ctx context.Context, p domain.Payment) (domain.Payment, error)
	// Apply makes a transition if the state machine allows it, and returns the payment as it is now. No event
	// is appended if ev has no ID.
	Apply(ctx context.Context, t domain.Transition, ev event.Event) (domain.Payment, error)
	ByOrder(ctx context.Context, orderID string) (domain.Payment, error)
	ByID(ctx context.Context, paymentID string) (domain.Payment, error)
	Owned(ctx context.Context, paymentID, customerID string) (domain.Payment, error)
	// Adopt gives a guest's payments for the orders to a user.
	Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error
	// RequestVoid marks a payment that is not captured yet; from then on no capture starts.
	RequestVoid(ctx context.Context, paymentID string, at time.Time) error
	// BeginRefund returns the refund with the key, and creates it if it is missing.
	//
	// Errors: conflict, unprocessable, invalid_argument (see domain.Payment.Claim), idempotency_mismatch.
	BeginRefund(
		ctx context.Context, orderID string, r domain.Refund, amount *money.Money, at time.Time,
	) (domain.Payment, domain.Refund, error)
	// EndRefund records the outcome of a refund, once.
	EndRefund(ctx context.Context, e domain.RefundEnd, newEvent RefundEvent) (domain.Payment, error)
	// ByIDs returns the payments that exist, by ID.
	ByIDs(ctx context.Context, paymentIDs []string) (map[string]domain.Payment, error)
	// NoteWebhooks records notices that change nothing, and returns how many were new. A crash may lose them.
	NoteWebhooks(ctx context.Context, webhooks []domain.Webhook) (int, error)
	// TakeWebhook records a notice unless it is known. In the same transaction it makes the transition that
	// decide returns (nil: none) and ends the notice's refund.
	TakeWebhook(
		ctx context.Context, w domain.Webhook, decide func(domain.Payment) (*domain.Transition, event.Event, error),
		newEvent RefundEvent,
	) (duplicate bool, err error)
	// AskOpen returns payments with an open outcome whose provider was last asked before the given time, the
	// longest waiting first, and records that they are asked about at the time at. AskOpenRefunds does the
	// same for refunds.
	AskOpen(ctx context.Context, before, at time.Time, limit int) ([]domain.Payment, error)
	AskOpenRefunds(ctx context.Context, before, at time.Time, limit int) ([]domain.Refund, error)
	// Open counts the payments and refunds with an open outcome. Oldest is the age of the oldest of them, or 0.
	Open(ctx context.Context, now time.Time) (payments, refunds int64, oldest time.Duration, err error)
	// ForgetWebhooks deletes notices received before the time, at most limit, and returns how many.
	ForgetWebhooks(ctx context.Context, before time.Time, limit int) (int, error)
}

// Deps are the dependencies of a Service. All are required.
type Deps struct {
	Store    Store
	Breakers *breaker.Registry
	Clock    clock.Clock
	Logger   *zap.Logger
	// Provider moves the money of new payments. ProviderName is its name in payments and webhooks.
	Provider     Provider
	ProviderName string
	// ProviderTimeout bounds one call to the provider.
	ProviderTimeout time.Duration
}
