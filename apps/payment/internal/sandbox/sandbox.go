// Package sandbox is the payment provider of development and tests: a separate company with its own books
// that happens to live in the same process.
//
// It opens only if the configuration names it. Until then its schema, sandbox, does not exist. Nothing else reads
// that schema. Money moves in double entry. Every call is idempotent by the merchant's key. Tokens make it misbehave
// as real providers do; see TokenOK and the tokens after it. Its webhooks report what ends a charge or moves money:
// declined, captured, voided, refunded.
package sandbox

import (
	"context"
	"embed"
	"net/http"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox/sqlc"
	"souk/pkg/batch"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/money"
	"souk/pkg/postgres"
	"souk/pkg/secrets"
)

// Name is the provider's name in payments, webhooks and the configuration, and the name of its schema.
const Name = "sandbox"

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations of the sandbox's schema. Run them before [New].
func Migrations() migration.Set { return migration.Set{Name: "payment_sandbox", FS: migrations} }

// Invariants is a query that compares payments with the sandbox's books, see module.Module.
//
//go:embed invariants.sql
var Invariants string

// The tokens that the sandbox knows. Any other is declined as invalid.
const (
	TokenOK                = "tok_ok"
	TokenDeclined          = "tok_declined"
	TokenInsufficientFunds = "tok_insufficient_funds"
	// TokenTimeoutThenOK: the charge takes effect, but the first answer is lost.
	TokenTimeoutThenOK = "tok_timeout_then_ok"
	// TokenSlow: the charge takes effect, and the answer is late.
	TokenSlow = "tok_slow"
	// TokenErrorThenOK: the first call fails without any effect.
	TokenErrorThenOK = "tok_error_then_ok" //nolint:gosec // a public test token, no credential
)

// Options of a Provider.
type Options struct {
	// DB holds the sandbox's schema.
	DB     sqlc.DBTX
	Clock  clock.Clock
	Logger *zap.Logger
	// Secret signs webhooks; unset: no webhook is accepted.
	Secret secrets.Value
	// FormerSecret is the one before, with which webhooks may still be signed; unset: none.
	FormerSecret secrets.Value
	// WebhookURL is where webhooks are posted; empty: no webhook is sent. HTTP posts them.
	WebhookURL string
	HTTP       *http.Client
	// LostAfter is how long the caller of a lost answer waits. SlowFor is the delay of a slow answer.
	LostAfter, SlowFor time.Duration
	// After returns a channel that receives after a duration; nil: time.After.
	After func(time.Duration) <-chan time.Time
}

// Provider is the sandbox. It is safe for concurrent use.
type Provider struct {
	Options
	q *sqlc.Queries

	charges  *batch.Batcher[charge, domain.Charge]
	captures *batch.Batcher[string, domain.Charge]
}

const (
	batchLimit    = 128
	batchParallel = 1
)

// New returns the sandbox.
func New(o Options) *Provider {
	if o.After == nil {
		o.After = time.After
	}
	p := &Provider{Options: o, q: sqlc.New(o.DB)}
	p.charges = batch.New(batchLimit, p.runCharge, batch.WithParallel(batchParallel))
	p.captures = batch.New(batchLimit, p.runCapture, batch.WithParallel(batchParallel))
	return p
}

// Authorize holds the amount, or misbehaves as the token says.
//
// Errors: timeout (the answer is lost), unavailable (the provider failed without effect),
// idempotency_mismatch.
func (p *Provider) Authorize(ctx context.Context, key, token string, amount money.Money) (domain.Charge, error) {
	c := charge{key: key, amount: amount, state: domain.ChargeAuthorized}
	lost := false
	switch token {
	case TokenOK, TokenSlow:
	case TokenDeclined:
		c.state, c.reason = domain.ChargeDeclined, domain.ReasonDeclined
	case TokenInsufficientFunds:
		c.state, c.reason = domain.ChargeDeclined, domain.ReasonInsufficientFunds
	case TokenTimeoutThenOK:
		n, err := p.q.Trick(ctx, sqlc.TrickParams{Key: key, Op: "authorize", Outcome: "answer lost"})
		if err != nil {
			return domain.Charge{}, postgres.Err(err)
		}
		lost = n == 1
	case TokenErrorThenOK:
		n, err := p.q.Trick(ctx, sqlc.TrickParams{Key: key, Op: "authorize", Outcome: "error"})
		if err != nil {
			return domain.Charge{}, postgres.Err(err)
		}
		if n == 1 {
			return domain.Charge{}, errs.New(errs.Unavailable, "the payment provider has an error")
		}
	default:
		c.state, c.reason = domain.ChargeDeclined, domain.ReasonInvalidToken
	}
	out, err := p.charges.Submit(ctx, c)
	if err != nil {
		return domain.Charge{}, err
	}
	switch {
	case lost:
		if err := p.wait(ctx, p.LostAfter); err != nil {
			return domain.Charge{}, err
		}
		return domain.Charge{}, errs.New(errs.Timeout, "the payment provider did not answer in time")
	case token == TokenSlow:
		if err := p.wait(ctx, p.SlowFor); err != nil {
			return domain.Charge{}, err
		}
	}
	return out, nil
}

func (p *Provider) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.After(d):
		return nil
	}
}

// Capture takes the authorized amount, once, and books it.
//
// Errors: not_found.
func (p *Provider) Capture(ctx context.Context, key string) (domain.Charge, error) {
	return p.captures.Submit(ctx, key)
}

// Void gives up an authorization. An authorization that arrives after its void is refused.
func (p *Provider) Void(ctx context.Context, key string) (domain.Charge, error) {
	voided := noticeCharge{Key: key, Status: string(domain.ChargeVoided)}
	id, body := p.webhook(notice{Type: "charge.voided", Charge: voided})
	if _, err := p.q.Void(ctx, sqlc.VoidParams{Key: key, WebhookID: id, Body: body}); err != nil {
		return domain.Charge{}, postgres.Err(err)
	}
	return p.Status(ctx, key)
}

// Refund pays back, once per refund key.
//
// Errors: conflict (more than was captured).
func (p *Provider) Refund(ctx context.Context, key, refundKey string, amount money.Money) error {
	id, body := p.webhook(
		notice{
			Type:   "charge.refunded",
			Charge: noticeCharge{Key: key, Status: string(domain.ChargeCaptured)},
			Refund: refundKey,
		},
	)
	arg := sqlc.RefundParams{Key: key, RefundKey: refundKey, Amount: amount.Minor(), WebhookID: id, Body: body}
	n, err := p.q.Refund(ctx, arg)
	if err == nil && n == 1 || postgres.IsUnique(err, "") {
		return nil
	}
	if err != nil {
		return postgres.Err(err)
	}
	done, err := p.q.Refunded(ctx, refundKey)
	if err != nil || done {
		return postgres.Err(err)
	}
	return errs.New(errs.Conflict, "the charge cannot be refunded by this amount")
}

// Charges lists the charges after a position, the oldest first.
func (p *Provider) Charges(
	ctx context.Context, after domain.ChargePosition, limit int,
) ([]domain.BookedCharge, error) {
	rows, err := p.q.ChargesAfter(ctx, sqlc.ChargesAfterParams{
		CreatedAt: after.CreatedAt, Key: after.PaymentID, Most: int32(limit), //nolint:gosec // of a page
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]domain.BookedCharge, len(rows))
	for i, r := range rows {
		out[i] = domain.BookedCharge{
			Charge:    domain.Charge{Ref: ref(r.Key), State: domain.ChargeState(r.Status), Reason: r.Reason},
			PaymentID: r.Key,
			Captured:  money.New(r.Captured, money.Currency(r.Currency)),
			Refunded:  money.New(r.Refunded, money.Currency(r.Currency)),
			CreatedAt: r.CreatedAt,
		}
	}
	return out, nil
}

// Status returns a charge.
//
// Errors: not_found.
func (p *Provider) Status(ctx context.Context, key string) (domain.Charge, error) {
	rows, err := p.q.Charges(ctx, []string{key})
	if err != nil {
		return domain.Charge{}, postgres.Err(err)
	}
	if len(rows) == 0 {
		return domain.Charge{}, errs.New(errs.NotFound, "the payment provider knows no such charge")
	}
	return fromRow(rows[0]), nil
}
