package sandbox

import (
	"context"
	"slices"
	"strings"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

// charge is what to book under a key unless a charge with the key exists.
type charge struct {
	key    string
	amount money.Money
	state  domain.ChargeState
	reason string
}

// once returns the items sorted by key, each key once. Sorted keys keep two statements from a deadlock.
func once[T any](items []T, key func(T) string) []T {
	out := slices.Clone(items)
	slices.SortStableFunc(out, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return slices.CompactFunc(out, func(a, b T) bool { return key(a) == key(b) })
}

func (p *Provider) runCharge(ctx context.Context, items []charge) ([]batch.Result[domain.Charge], error) {
	var arg sqlc.ChargeParams
	for _, c := range once(items, func(c charge) string { return c.key }) {
		made := noticeCharge{Key: c.key, Status: string(c.state), Reason: c.reason}
		id, body := p.webhook(notice{Type: "charge." + string(c.state), Charge: made})
		arg.Keys = append(arg.Keys, c.key)
		arg.Statuses = append(arg.Statuses, string(c.state))
		arg.Reasons = append(arg.Reasons, c.reason)
		arg.Currencies = append(arg.Currencies, string(c.amount.Currency()))
		arg.Amounts = append(arg.Amounts, c.amount.Minor())
		arg.WebhookIds, arg.Bodies = append(arg.WebhookIds, id), append(arg.Bodies, body)
	}
	made, err := p.q.Charge(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	there, err := p.rest(ctx, arg.Keys, made)
	if err != nil {
		return nil, err
	}
	out := make([]batch.Result[domain.Charge], len(items))
	for i, c := range items {
		row, old := there[c.key]
		switch {
		case !old:
			out[i].Value = domain.Charge{Ref: ref(c.key), State: c.state, Reason: c.reason}
		case row.Status != "tombstone" && money.New(row.Amount, money.Currency(row.Currency)) != c.amount:
			out[i].Err = errs.New(errs.IdempotencyMismatch,
				"the payment provider has a charge with this key and another amount")
		default:
			out[i].Value = fromRow(row)
		}
	}
	return out, nil
}

func (p *Provider) runCapture(ctx context.Context, items []string) ([]batch.Result[domain.Charge], error) {
	var arg sqlc.CaptureParams
	for _, key := range once(items, func(k string) string { return k }) {
		captured := noticeCharge{Key: key, Status: string(domain.ChargeCaptured)}
		id, body := p.webhook(notice{Type: "charge.captured", Charge: captured})
		arg.Keys = append(arg.Keys, key)
		arg.WebhookIds = append(arg.WebhookIds, id)
		arg.Bodies = append(arg.Bodies, body)
	}
	moved, err := p.q.Capture(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	there, err := p.rest(ctx, arg.Keys, moved)
	if err != nil {
		return nil, err
	}
	out := make([]batch.Result[domain.Charge], len(items))
	for i, key := range items {
		row, old := there[key]
		switch {
		case old:
			out[i].Value = fromRow(row)
		case slices.Contains(moved, key):
			out[i].Value = domain.Charge{Ref: ref(key), State: domain.ChargeCaptured}
		default:
			out[i].Err = errs.New(errs.NotFound, "the payment provider knows no such charge")
		}
	}
	return out, nil
}

// rest reads the charges that a statement did not change.
func (p *Provider) rest(ctx context.Context, keys, changed []string) (map[string]sqlc.ChargesRow, error) {
	if len(keys) == len(changed) {
		return nil, nil
	}
	left := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(changed, k) })
	rows, err := p.q.Charges(ctx, left)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make(map[string]sqlc.ChargesRow, len(rows))
	for _, r := range rows {
		out[r.Key] = r
	}
	return out, nil
}

func fromRow(r sqlc.ChargesRow) domain.Charge {
	state := domain.ChargeState(r.Status)
	if r.Status == "tombstone" {
		state = domain.ChargeVoided
	}
	return domain.Charge{Ref: ref(r.Key), State: state, Reason: r.Reason}
}

// ref returns the sandbox's own ID of a charge.
func ref(key string) string { return "sbx_" + key }
