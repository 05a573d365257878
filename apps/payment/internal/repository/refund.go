package repository

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// BeginRefund implements service.Store. The payment's row is locked, so refunds of one payment are created
// one after the other, and their sum never exceeds what was captured.
func (s *Store) BeginRefund(
	ctx context.Context, orderID string, r domain.Refund, amount *money.Money, at time.Time,
) (domain.Payment, domain.Refund, error) {
	var p domain.Payment
	err := s.inTx(ctx, func(q *sqlc.Queries, _ pgx.Tx) error {
		row, err := q.LockByOrder(ctx, orderID)
		if err != nil {
			return postgres.Err(err)
		}
		p = payment(sqlc.ByIDRow(row))
		have, err := q.RefundByKey(ctx, sqlc.RefundByKeyParams{PaymentID: p.ID, IdemKey: r.Key})
		switch err = postgres.Err(err); {
		case err == nil:
			r = domain.Refund{
				ID:        have.ID,
				PaymentID: have.PaymentID,
				Key:       have.IdemKey,
				Amount:    have.Amount,
				State:     domain.RefundState(have.State),
			}
			if amount != nil && *amount != money.New(r.Amount, p.Amount.Currency()) {
				return errs.New(errs.IdempotencyMismatch, "a refund with this key had another amount")
			}
			if r.State != domain.RefundRefused {
				return nil
			}
			// The provider is asked again: the reason for its refusal may be gone.
			left := money.New(r.Amount, p.Amount.Currency())
			amount = &left
		case !errs.Is(err, errs.NotFound):
			return err
		}
		again := r.State == domain.RefundRefused
		claim, err := p.Claim(amount)
		if err != nil {
			return err
		}
		r.PaymentID, r.Amount, r.State = p.ID, claim, domain.RefundRequested
		if p.Waivable() {
			r.State = domain.RefundWaived
			p, err = waive(ctx, q, p, r, at)
			return err
		}
		n, err := q.ClaimRefund(ctx, sqlc.ClaimRefundParams{ID: p.ID, Amount: claim, At: at})
		if err != nil {
			return postgres.Err(err)
		}
		if n == 0 {
			return errs.New(errs.Conflict, "the payment changed meanwhile")
		}
		if again {
			return postgres.Err(q.ReopenRefund(ctx, sqlc.ReopenRefundParams{ID: r.ID, At: at}))
		}
		return postgres.Err(
			q.InsertRefund(ctx,
				sqlc.InsertRefundParams{ID: r.ID, PaymentID: p.ID, IdemKey: r.Key, Amount: claim, At: at}),
		)
	})
	return p, r, err
}

// waive gives up cash that was not collected, and records the refund that asked for it. The payment's row is locked.
func waive(
	ctx context.Context, q *sqlc.Queries, p domain.Payment, r domain.Refund, at time.Time,
) (domain.Payment, error) {
	n, err := q.Waive(ctx, sqlc.WaiveParams{ID: p.ID, Amount: r.Amount, At: at})
	if err != nil {
		return p, postgres.Err(err)
	}
	if n == 0 {
		return p, errs.New(errs.Internal, "more would be waived than was to be collected")
	}
	err = q.InsertWaiver(ctx,
		sqlc.InsertWaiverParams{ID: r.ID, PaymentID: p.ID, IdemKey: r.Key, Amount: r.Amount, At: at})
	return p.AfterWaiver(r.Amount, at), postgres.Err(err)
}

// EndRefund implements service.Store.
func (s *Store) EndRefund(ctx context.Context, e domain.RefundEnd, newEvent RefundEvent) (domain.Payment, error) {
	var p domain.Payment
	err := s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		r, err := q.RefundByID(ctx, e.RefundID)
		if err != nil {
			return postgres.Err(err)
		}
		// The payment is locked before its refund, in the same order everywhere, to avoid a deadlock.
		row, err := q.LockByID(ctx, r.PaymentID)
		if err != nil {
			return postgres.Err(err)
		}
		p, err = endRefund(ctx, q, tx, payment(sqlc.ByIDRow(row)), r.Amount, e, newEvent)
		return err
	})
	return p, err
}

func endRefund(
	ctx context.Context, q *sqlc.Queries, tx pgx.Tx, p domain.Payment, amount int64, e domain.RefundEnd,
	newEvent RefundEvent,
) (domain.Payment, error) {
	n, err := q.EndRefund(ctx, sqlc.EndRefundParams{ID: e.RefundID, PaymentID: p.ID, State: string(e.State), At: e.At})
	if err != nil || n == 0 {
		return p, postgres.Err(err) // n == 0: it had ended before
	}
	if e.State != domain.RefundDone {
		_, err := q.UnclaimRefund(ctx, sqlc.UnclaimRefundParams{ID: p.ID, Amount: amount, At: e.At})
		return p, postgres.Err(err)
	}
	status := p.AfterRefund(amount)
	n, err = q.ApplyRefund(ctx, sqlc.ApplyRefundParams{ID: p.ID, Amount: amount, Status: string(status), At: e.At})
	if err != nil {
		return p, postgres.Err(err)
	}
	if n == 0 {
		return p, errs.New(errs.Internal, "more would be refunded than was claimed")
	}
	p.Refunded, p.Status, p.Version, p.UpdatedAt = p.Refunded+amount, status, p.Version+1, e.At
	ev, err := newEvent(p, money.New(amount, p.Amount.Currency()))
	if err != nil {
		return p, err
	}
	return p, outbox.Append(ctx, tx, ev)
}

// AskOpenRefunds implements service.Store.
func (s *Store) AskOpenRefunds(ctx context.Context, before, at time.Time, limit int) ([]domain.Refund, error) {
	arg := sqlc.AskOpenRefundsParams{Before: before, At: at, Batch: int32(limit)} //nolint:gosec // a batch is small
	rows, err := s.q.AskOpenRefunds(ctx, arg)
	out := make([]domain.Refund, len(rows))
	for i, r := range rows {
		out[i] = domain.Refund{
			ID:        r.ID,
			PaymentID: r.PaymentID,
			Key:       r.IdemKey,
			Amount:    r.Amount,
			State:     domain.RefundState(r.State),
		}
	}
	return out, postgres.Err(err)
}

// NoteWebhooks implements service.Store.
func (s *Store) NoteWebhooks(ctx context.Context, webhooks []domain.Webhook) (int, error) {
	// Rows are inserted in the order of their keys, so that two callers with the same notices cannot
	// deadlock.
	webhooks = slices.SortedFunc(slices.Values(webhooks),
		func(a, b domain.Webhook) int { return cmpString(a.EventID, b.EventID) })
	var arg sqlc.NoteWebhooksParams
	for _, w := range webhooks {
		arg.Providers = append(arg.Providers, w.Provider)
		arg.EventIds = append(arg.EventIds, w.EventID)
		arg.PaymentIds = append(arg.PaymentIds, w.PaymentID)
		arg.BodyHashes, arg.Ats = append(arg.BodyHashes, w.BodyHash), append(arg.Ats, w.At)
	}
	n, err := s.q.NoteWebhooks(ctx, arg)
	return int(n), postgres.Err(err)
}

// ForgetWebhooks implements service.Store.
func (s *Store) ForgetWebhooks(ctx context.Context, before time.Time, limit int) (int, error) {
	arg := sqlc.ForgetWebhooksParams{Before: before, Most: int32(limit)} //nolint:gosec // a batch is small
	n, err := s.q.ForgetWebhooks(ctx, arg)
	return int(n), postgres.Err(err)
}

// ForgetRefused deletes at most most payments that began in [from, before) and failed or were voided, and returns their
// number.
func (s *Store) ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error) {
	n, err := s.q.ForgetRefused(ctx, sqlc.ForgetRefusedParams{
		First: id.At(id.Payment, from), Before: id.At(id.Payment, before),
		Most: int32(most), //nolint:gosec // a batch is small
	})
	return int(n), postgres.Err(err)
}

// TakeWebhook implements service.Store.
func (s *Store) TakeWebhook(
	ctx context.Context, w domain.Webhook, decide func(domain.Payment) (*domain.Transition, event.Event, error),
	newEvent RefundEvent,
) (bool, error) {
	duplicate := false
	err := s.inTx(ctx, func(q *sqlc.Queries, tx pgx.Tx) error {
		n, err := q.TakeWebhook(ctx, sqlc.TakeWebhookParams{
			Provider: w.Provider, EventID: w.EventID, PaymentID: w.PaymentID, BodyHash: w.BodyHash, At: w.At,
		})
		if duplicate = n == 0; err != nil || duplicate {
			return postgres.Err(err)
		}
		row, err := q.LockByID(ctx, w.PaymentID)
		if err != nil {
			return postgres.Err(err)
		}
		p := payment(sqlc.ByIDRow(row))
		transition, ev, err := decide(p)
		if err != nil {
			return err
		}
		if transition != nil {
			moved, err := ApplyAll(ctx, tx, []Transition{{*transition, ev}})
			if err != nil {
				return err
			}
			if len(moved) == 1 {
				p = moved[0]
			}
		}
		if w.RefundID == "" {
			return nil
		}
		r, err := q.RefundByID(ctx, w.RefundID)
		if err != nil {
			return postgres.Err(err)
		}
		_, err = endRefund(ctx, q, tx, p, r.Amount,
			domain.RefundEnd{RefundID: r.ID, State: domain.RefundDone, At: w.At}, newEvent)
		return err
	})
	return duplicate && err == nil, err
}
