package repository

import (
	"bytes"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// SetStock sets how many pieces of a variant are on hand.
//
// Errors: not_found, conflict (more are reserved).
func (s *Store) SetStock(ctx context.Context, variantID string, onHand int64) (domain.Stock, error) {
	return s.changeStock(ctx, variantID, func(_ *sqlc.Queries, now domain.Stock) (int64, error) {
		return now.Set(onHand)
	})
}

// AdjustStock changes how many pieces of a variant are on hand, and keeps the adjustment. One with the key of an
// earlier one changes nothing.
//
// Errors: not_found, invalid_argument, conflict (more are reserved), idempotency_mismatch (the key is that of another
// adjustment).
func (s *Store) AdjustStock(ctx context.Context, a domain.Adjustment) (domain.Stock, error) {
	return s.changeStock(ctx, a.VariantID, func(q *sqlc.Queries, now domain.Stock) (int64, error) {
		if a.Key != nil {
			was, err := q.AdjustmentByKey(ctx,
				sqlc.AdjustmentByKeyParams{VariantID: a.VariantID, RequestKey: a.Key})
			switch {
			case errors.Is(err, pgx.ErrNoRows):
			case err != nil:
				return 0, postgres.Err(err)
			case was.Delta != a.Delta || was.Reason != a.Reason:
				return 0, errs.New(errs.IdempotencyMismatch, "this Idempotency-Key was used for another adjustment")
			default:
				return now.OnHand, nil
			}
		}
		onHand, err := now.Adjust(a.Delta)
		if err != nil {
			return 0, err
		}
		if err := q.AddAdjustment(ctx, sqlc.AddAdjustmentParams{
			ID: a.ID, VariantID: a.VariantID, Delta: a.Delta, Reason: a.Reason, OnHand: onHand, AdjustedBy: a.By,
			RequestKey: bytes.Clone(a.Key), Now: s.opts.Clock.Now(),
		}); err != nil {
			return 0, postgres.Err(err)
		}
		return onHand, postgres.Err(q.DropOldAdjustments(ctx,
			sqlc.DropOldAdjustmentsParams{VariantID: a.VariantID, Keep: domain.KeptAdjustments}))
	})
}

// Adjustments returns the adjustments of a variant's stock, newest first.
func (s *Store) Adjustments(ctx context.Context, variantID string) ([]domain.Adjustment, error) {
	rows, err := s.q.Adjustments(ctx, variantID)
	if err != nil {
		return nil, postgres.Err(err)
	}
	list := make([]domain.Adjustment, len(rows))
	for i, r := range rows {
		list[i] = domain.Adjustment{
			ID: r.ID, VariantID: variantID, Delta: r.Delta, Reason: r.Reason, OnHand: r.OnHand, By: r.AdjustedBy,
			CreatedAt: r.CreatedAt,
		}
	}
	return list, nil
}

// changeStock locks a variant's stock and sets the pieces on hand to what decide returns.
//
// Errors: not_found, decide's.
func (s *Store) changeStock(
	ctx context.Context, variantID string, decide func(q *sqlc.Queries, now domain.Stock) (onHand int64, err error),
) (domain.Stock, error) {
	var stock domain.Stock
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.q.WithTx(tx)
		v, err := q.VariantSKU(ctx, variantID)
		if err != nil {
			return postgres.Err(err)
		}
		if err := q.LockShops(ctx, []string{v.ShopID}); err != nil {
			return postgres.Err(err)
		}
		rows, err := q.LockStock(ctx, []string{variantID})
		if err != nil || len(rows) != 1 {
			return postgres.Err(errors.Join(err, pgx.ErrNoRows))
		}
		was := domain.Stock{
			VariantID: variantID,
			ProductID: v.ProductID,
			ShopID:    v.ShopID,
			SKU:       v.Sku,
			Title:     v.Title,
			OnHand:    rows[0].OnHand,
			Reserved:  rows[0].Reserved,
		}
		stock = was
		if stock.OnHand, err = decide(q, was); err != nil || stock.OnHand == was.OnHand {
			return err
		}
		arg := sqlc.SaveStockParams{VariantIds: []string{variantID}, OnHands: []int64{stock.OnHand}}
		if err := q.SaveStock(ctx, arg); err != nil {
			return postgres.Err(err)
		}
		if err := q.ForgetImport(ctx, sqlc.ForgetImportParams{Now: s.opts.Clock.Now(), ID: v.ProductID}); err != nil {
			return postgres.Err(err)
		}
		if low := s.opts.LowStock; was.Available() > low && stock.Available() <= low {
			e, err := s.lowEvent(ctx, stock)
			if err != nil {
				return err
			}
			if err := outbox.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return refreshListings(ctx, q, []string{v.ProductID})
	})
	if err != nil {
		return domain.Stock{}, coded(err)
	}
	s.changed(ctx, []string{stock.ProductID})
	return stock, nil
}
