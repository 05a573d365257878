// Package repository stores vouchers and their uses in PostgreSQL.
package repository

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/voucher/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/lock_owner.sql
	lockOwner string
	//go:embed sql/count_vouchers.sql
	countVouchers string
	//go:embed sql/create_voucher.sql
	createVoucher string
	//go:embed sql/get_voucher.sql
	getVoucher string
	//go:embed sql/lock_voucher.sql
	lockVoucher string
	//go:embed sql/list_vouchers.sql
	listVouchers string
	//go:embed sql/find_vouchers.sql
	findVouchers string
	//go:embed sql/update_voucher.sql
	updateVoucher string
	//go:embed sql/customer_uses.sql
	customerUses string
	//go:embed sql/first_order_shops.sql
	firstOrderShops string
)

// Store stores vouchers and their uses.
type Store struct {
	pool *pgxpool.Pool
	wake func() // wakes the relay after new events
}

// New returns the store.
func New(pool *pgxpool.Pool, wake func()) *Store { return &Store{pool: pool, wake: wake} }

// Create stores a new voucher.
//
// Errors: already_exists (its owner has a voucher with the code), conflict (its owner has too many).
func (s *Store) Create(ctx context.Context, v domain.Voucher) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockOwner, v.ShopID); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, countVouchers, v.ShopID).Scan(&n); err != nil {
			return err
		}
		if n >= domain.MaxVouchers {
			return errs.New(errs.Conflict, "there are %d vouchers: that is the most", n)
		}
		_, err := tx.Exec(ctx, createVoucher, v.ID, v.ShopID, v.Code, v.Title, v.Kind, v.Percent, v.Currency, v.Amount,
			v.BuyQuantity, v.GetQuantity, v.MinSubtotal, v.ProductIDs, v.CategoryIDs, v.FirstOrderOnly, v.StartsAt,
			v.EndsAt, v.MaxUses, v.MaxUsesPerCustomer, v.Budget, v.Stackable, v.OperatorShare, v.State, v.Used, v.Spent,
			v.CreatedAt, v.UpdatedAt)
		return err
	})
	if postgres.IsUnique(err, "voucher_code") {
		e := errs.New(errs.AlreadyExists, "there is a voucher with this code already")
		e.Fields = []errs.Field{{Path: "code", Message: "is taken"}}
		return e
	}
	return postgres.Err(err)
}

// Get returns a voucher.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, voucherID string) (domain.Voucher, error) {
	return one(s.pool.Query(ctx, getVoucher, voucherID))
}

// List returns at most limit vouchers of a shop, or of the marketplace, from before an ID, newest first: those with the
// status, or all if it is "".
func (s *Store) List(
	ctx context.Context, shopID string, status domain.Status, before string, limit int, at time.Time,
) ([]domain.Voucher, error) {
	return all(s.pool.Query(ctx, listVouchers, shopID, before, status, at, limit))
}

// Find returns the vouchers of the marketplace and of shops that have one of the codes.
func (s *Store) Find(ctx context.Context, codes, shopIDs []string) ([]domain.Voucher, error) {
	return all(s.pool.Query(ctx, findVouchers, codes, append([]string{""}, shopIDs...)))
}

// Update locks a voucher, lets f change it, and stores it if f reports a change.
//
// Errors: f's, not_found.
func (s *Store) Update(
	ctx context.Context, voucherID string, f func(*domain.Voucher) (changed bool, err error),
) (v domain.Voucher, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if v, err = one(tx.Query(ctx, lockVoucher, voucherID)); err != nil {
			return err
		}
		changed, err := f(&v)
		if err != nil || !changed {
			return err
		}
		_, err = tx.Exec(ctx, updateVoucher, v.ID, v.Title, v.Percent, v.Currency, v.Amount, v.BuyQuantity,
			v.GetQuantity, v.MinSubtotal, v.ProductIDs, v.CategoryIDs, v.FirstOrderOnly, v.StartsAt, v.EndsAt,
			v.MaxUses, v.MaxUsesPerCustomer, v.Budget, v.Stackable, v.OperatorShare, v.State, v.UpdatedAt)
		return err
	})
	return v, postgres.Err(err)
}

// Usage returns how a customer has used vouchers before.
func (s *Store) Usage(ctx context.Context, vouchers []domain.Voucher, c domain.Customer) (domain.Usage, error) {
	usage := domain.Usage{Uses: map[string]int64{}}
	if len(vouchers) == 0 {
		return usage, nil
	}
	ids := make([]string, len(vouchers))
	for i, v := range vouchers {
		ids[i] = v.ID
	}
	var id string
	var uses int64
	rows, err := s.pool.Query(ctx, customerUses, ids, counters(c))
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&id, &uses}, func() error {
			usage.Uses[id] = uses
			return nil
		})
	}
	firstOrderOnly := func(v domain.Voucher) bool { return v.FirstOrderOnly }
	if err != nil || len(c.Mailbox) == 0 || !slices.ContainsFunc(vouchers, firstOrderOnly) {
		return usage, postgres.Err(err)
	}
	if rows, err = s.pool.Query(ctx, firstOrderShops, c.Mailbox); err == nil {
		usage.FirstOrderShops, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	return usage, postgres.Err(err)
}

func one(rows pgx.Rows, err error) (domain.Voucher, error) {
	if err != nil {
		return domain.Voucher{}, postgres.Err(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[domain.Voucher])
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.Voucher{}, errs.New(errs.NotFound, "there is no such voucher")
	}
	return v, postgres.Err(err)
}

func all(rows pgx.Rows, err error) ([]domain.Voucher, error) {
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.Voucher])
	return out, postgres.Err(err)
}
