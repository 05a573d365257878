package repository

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/voucher/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/money"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/begin_redemption.sql
	beginRedemption string
	//go:embed sql/redemption_state.sql
	redemptionState string
	//go:embed sql/use_voucher.sql
	useVoucher string
	//go:embed sql/use_voucher_of_customer.sql
	useVoucherOfCustomer string
	//go:embed sql/add_redeemed_voucher.sql
	addRedeemedVoucher string
	//go:embed sql/release_redemption.sql
	releaseRedemption string
	//go:embed sql/redeemed_vouchers.sql
	redeemedVouchers string
	//go:embed sql/give_back_voucher.sql
	giveBackVoucher string
	//go:embed sql/give_back_of_customer.sql
	giveBackOfCustomer string
	//go:embed sql/adopt_redemptions.sql
	adoptRedemptions string
	//go:embed sql/forget_released.sql
	forgetReleased string
)

// newEvents returns the events of a redemption or a release.
type newEvents = func(ctx context.Context, r domain.Redemption, at time.Time) ([]event.Event, error)

// The states of a redemption.
const (
	redeemed = "redeemed"
	released = "released"
)

// Redeem uses vouchers for an order, all or none, and appends the events that toEvents returns. It has no effect if it
// was done before. Each limit is checked by the statement that moves its counter.
//
// Errors: voucher_invalid (the path of its field is the voucher's ID), conflict (the order's vouchers were released).
func (s *Store) Redeem(
	ctx context.Context, r domain.Redemption, at time.Time, toEvents newEvents,
) error {
	// All transactions lock vouchers in the same order.
	slices.SortFunc(r.Uses, func(a, b domain.Use) int { return strings.Compare(a.VoucherID, b.VoucherID) })
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		begun, err := tx.Exec(ctx, beginRedemption, r.OrderID, r.Customer.ID, mailboxOf(r.Customer), redeemed, at)
		if err != nil {
			return err
		}
		if begun.RowsAffected() == 0 {
			var state string
			if err := tx.QueryRow(ctx, redemptionState, r.OrderID).Scan(&state); err != nil || state == redeemed {
				return err
			}
			return errs.New(errs.Conflict, "the vouchers of this order were released")
		}
		for i := range r.Uses {
			if err := use(ctx, tx, r, &r.Uses[i], at); err != nil {
				return err
			}
			if err := failpoint.Hit(ctx, FailInRedemption); err != nil {
				return err
			}
		}
		events, err := toEvents(ctx, r, at)
		if err != nil {
			return err
		}
		if err := outbox.Append(ctx, tx, events...); err != nil {
			return err
		}
		return failpoint.Hit(ctx, FailBeforeRedemption)
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.wake()
	return failpoint.Hit(ctx, FailAfterRedemption)
}

// use counts one use of a voucher, and completes u.
func use(ctx context.Context, tx pgx.Tx, r domain.Redemption, u *domain.Use, at time.Time) error {
	amount, currency := u.Amount.Minor(), u.Amount.Currency()
	var most int64
	var code string
	err := tx.QueryRow(ctx, useVoucher, u.VoucherID, currency, amount, at).Scan(&most, &u.ShopID, &code, &u.UsedUp)
	if errors.Is(err, pgx.ErrNoRows) {
		v, err := one(tx.Query(ctx, getVoucher, u.VoucherID))
		if err != nil {
			return err
		}
		refusal := v.Check(u.Amount, at)
		if refusal == (domain.Refusal{}) { // another order has given back its use since
			return errs.New(errs.Unavailable, "the voucher %s was just in use; try again", v.Code)
		}
		return domain.Invalid(u.VoucherID, refusal)
	}
	if err != nil {
		return err
	}
	for _, counter := range counters(r.Customer) {
		counted, err := tx.Exec(ctx, useVoucherOfCustomer, u.VoucherID, counter, most)
		if err != nil {
			return err
		}
		if counted.RowsAffected() == 0 {
			return domain.Invalid(u.VoucherID, domain.Refusal{
				Reason: domain.AlreadyUsed, Detail: "you have used the voucher already",
			})
		}
	}
	_, err = tx.Exec(ctx, addRedeemedVoucher, r.OrderID, u.VoucherID, currency, amount, u.OperatorAmount.Minor())
	return err
}

// Release gives back the uses of an order, and appends the events that toEvents returns. If the order has used no
// voucher, it leaves a row that refuses a late Redeem.
func (s *Store) Release(
	ctx context.Context, orderID string, at time.Time, toEvents newEvents,
) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		begun, err := tx.Exec(ctx, beginRedemption, orderID, "", []byte{}, released, at)
		if err != nil || begun.RowsAffected() > 0 {
			return err
		}
		return release(ctx, tx, orderID, at, toEvents)
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.wake()
	return failpoint.Hit(ctx, FailAfterRelease)
}

// ReleaseOn returns a handler of events that gives back the uses of the order that decode returns; "" is none.
func (s *Store) ReleaseOn(decode func(event.Event) (orderID string, err error), toEvents newEvents) outbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		orderID, err := decode(e)
		if err != nil || orderID == "" {
			return err
		}
		return release(ctx, tx, orderID, e.Time, toEvents)
	}
}

// release gives back the uses of an order, if it has any, and appends the events.
func release(ctx context.Context, tx pgx.Tx, orderID string, at time.Time, toEvents newEvents) error {
	r := domain.Redemption{OrderID: orderID}
	err := tx.QueryRow(ctx, releaseRedemption, orderID, at).Scan(&r.Customer.ID, &r.Customer.Mailbox)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, redeemedVouchers, orderID)
	if err != nil {
		return err
	}
	var u domain.Use
	var currency money.Currency
	var amount, operator int64
	_, err = pgx.ForEachRow(rows, []any{&u.VoucherID, &u.ShopID, &currency, &amount, &operator}, func() error {
		u.Amount, u.OperatorAmount = money.New(amount, currency), money.New(operator, currency)
		r.Uses = append(r.Uses, u)
		return nil
	})
	if err != nil {
		return err
	}
	for _, u := range r.Uses {
		_, err := tx.Exec(ctx, giveBackVoucher, u.VoucherID, u.Amount.Currency(), u.Amount.Minor())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, giveBackOfCustomer, u.VoucherID, counters(r.Customer)); err != nil {
			return err
		}
		if err := failpoint.Hit(ctx, FailInRelease); err != nil {
			return err
		}
	}
	events, err := toEvents(ctx, r, at)
	if err != nil {
		return err
	}
	return outbox.Append(ctx, tx, events...)
}

// Adopt makes the uses of a guest's orders those of a user.
func (s *Store) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	_, err := s.pool.Exec(ctx, adoptRedemptions, guestID, userID, orderIDs)
	return postgres.Err(err)
}

// ForgetReleased deletes at most most redemptions that were released in [from, before), and returns their number.
func (s *Store) ForgetReleased(ctx context.Context, from, before time.Time, most int) (int, error) {
	gone, err := s.pool.Exec(ctx, forgetReleased, from, before, most)
	return int(gone.RowsAffected()), postgres.Err(err)
}

// counters returns the names under which the uses of a customer are counted.
func counters(c domain.Customer) []string {
	out := []string{c.ID}
	if len(c.Mailbox) > 0 {
		out = append(out, "mailbox:"+hex.EncodeToString(c.Mailbox))
	}
	return out
}

// mailboxOf returns the customer's mailbox for its column, which is not null.
func mailboxOf(c domain.Customer) []byte { return append([]byte{}, c.Mailbox...) }
