package verify

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/postgres"
)

const (
	rechecks     = 3    // how often suspects are checked again while they keep changing
	recheckBatch = 1000 // suspects of one recheck query
)

//go:embed orders.sql
var sqlOrders string

//go:embed payments.sql
var sqlPayments string

//go:embed reservations.sql
var sqlReservations string

//go:embed redemptions.sql
var sqlRedemptions string

// order is an order as the order service's database has it.
type order struct {
	ID, Status string
	Confirmed  bool
	Currency   string
	Total      int64
	// Remaining is the total without the cancelled shop orders, and Lines are those of the others.
	Remaining     int64
	PaymentID     string
	PaymentStatus string
	PaymentMethod string
	Version       int64
	Lines         string
	// Vouchers are what vouchers took off the order, cancelled parts included.
	Vouchers string
	// Open reports whether a saga of the order has not ended.
	Open bool
}

// payment is a payment as the payment service's database has it.
type payment struct {
	OrderID, ID, Status, Method, Currency string
	Amount, Captured, Refunded, Waived    int64
}

// reservation is a reservation as the product service's database has it.
type reservation struct{ OrderID, State, Lines string }

// redemption is the use of vouchers by an order as the voucher service's database has it.
type redemption struct{ OrderID, Vouchers string }

func (o order) key() string       { return o.ID }
func (p payment) key() string     { return p.OrderID }
func (r reservation) key() string { return r.OrderID }
func (r redemption) key() string  { return r.OrderID }

// view combines what the databases hold about one order.
type view struct {
	id           string
	order        *order
	payments     []payment
	reservations []reservation
	redemptions  []redemption
}

// The checks over several databases.
const (
	checkPaid      = "orders_paid"
	checkCaptures  = "captures"
	checkCancelled = "orders_cancelled"
	checkStock     = "stock_sold"
	checkVouchers  = "vouchers_redeemed"
	checkShown     = "orders_show_payment"
)

func rules() []Check {
	return []Check{
		{
			Name: checkPaid,
			Rule: "a confirmed order has one payment, captured in full (cash: once delivered), without its cancelled parts",
		},
		{Name: checkCaptures, Rule: "money that is held or captured belongs to an order that was confirmed"},
		{Name: checkCancelled, Rule: "a cancelled order keeps no money and no stock"},
		{Name: checkStock, Rule: "stock is reserved, and sold, for orders alone: the same pieces as the order's lines"},
		{Name: checkVouchers, Rule: "an order has redeemed the vouchers that it was placed with, and no other"},
		{Name: checkShown, Rule: "an order shows the status of its payment", Warning: true},
	}
}

// checkedBy returns the names of the checks that count this view, one per checked thing.
func (v view) checkedBy() []string {
	var out []string
	if v.order.paidFor() {
		out = append(out, checkPaid, checkShown)
	}
	if v.order != nil && v.order.Status == "cancelled" {
		out = append(out, checkCancelled)
	}
	for range v.payments {
		out = append(out, checkCaptures)
	}
	for range v.reservations {
		out = append(out, checkStock)
	}
	if len(v.redemptions) > 0 || v.order.paidFor() && v.order.Vouchers != "" {
		out = append(out, checkVouchers)
	}
	return out
}

func (o *order) paidFor() bool {
	return o != nil && slices.Contains([]string{"confirmed", "shipped", "delivered", "refunded"}, o.Status)
}

const (
	methodCash     = "cod"
	stateHeld      = "held"
	stateCommitted = "committed"
)

// broken returns the names of the checks that the view fails, provided that no saga works on the order.
func (v view) broken() []string {
	var out []string
	fail := func(check string, wrong bool) {
		if wrong && !slices.Contains(out, check) {
			out = append(out, check)
		}
	}
	o := v.order
	if o.paidFor() {
		payments := 1
		if o.Total == 0 { // vouchers paid for all of it
			payments = 0
		}
		fail(checkPaid, len(v.payments) != payments)
		fail(checkStock, len(v.reservations) != 1)
	}
	for _, p := range v.payments {
		atRisk := p.Captured > p.Refunded || p.Status == "authorized"
		switch {
		case o.paidFor():
			fail(checkPaid, !p.pays(*o))
			fail(checkShown, p.Status != o.PaymentStatus)
		case o != nil && o.Status == "cancelled":
			fail(checkCancelled, p.Status == "authorized" || p.Captured != p.Refunded)
			fail(checkCaptures, p.Captured > 0 && !o.Confirmed)
		default: // the order is missing, or pending without a saga
			fail(checkCaptures, atRisk)
		}
	}
	for _, r := range v.reservations {
		switch {
		case o.paidFor():
			sold := r.State == stateCommitted || o.Status == "refunded" && r.State == "restocked"
			fail(checkStock, !sold || r.Lines != o.Lines)
		case o != nil && o.Status == "cancelled":
			fail(checkCancelled, r.State == stateHeld || r.State == stateCommitted)
		default:
			fail(checkStock, r.State == stateHeld || r.State == stateCommitted)
		}
	}
	redeemed := ""
	for _, r := range v.redemptions { // at most one
		redeemed = r.Vouchers
	}
	switch {
	case o.paidFor():
		fail(checkVouchers, redeemed != o.Vouchers)
	case o != nil && o.Confirmed:
		// Its cancellation is published; the vouchers can be used again a moment later.
		fail(checkVouchers, redeemed != "" && redeemed != o.Vouchers)
	default:
		fail(checkVouchers, redeemed != "")
	}
	return out
}

// pays reports whether p pays for o: it is o's payment, and captured as o's status requires. What was cancelled is
// refunded, or, of cash, waived.
func (p payment) pays(o order) bool {
	if p.ID != o.PaymentID || p.Currency != o.Currency || p.Amount != o.Total || p.Method != o.PaymentMethod {
		return false
	}
	cancelled := o.Total - o.Remaining
	if p.Method == methodCash && o.Status != "delivered" && o.Status != "refunded" {
		return p.Captured == 0 && p.Status == "authorized" && p.Waived == cancelled
	}
	if o.Status == "refunded" && p.Refunded != p.Captured {
		return false
	}
	return p.Captured+p.Waived == o.Total && p.Refunded+p.Waived >= cancelled &&
		slices.Contains([]string{"captured", "partially_refunded", "refunded"}, p.Status)
}

// across checks the databases against each other. It checks all orders once, and those that look wrong again after
// RecheckDelay. It also returns the IDs of lost orders.
func (s Sources) across(ctx context.Context) (out []Check, lost []string, err error) {
	counts := map[string]int64{}
	var suspects []string
	err = s.views(ctx, func(v view) {
		for _, check := range v.checkedBy() {
			counts[check]++
		}
		if (v.order == nil || !v.order.Open) && len(v.broken()) > 0 {
			suspects = append(suspects, v.id)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	wrong := confirmed{checks: map[string][]string{}}
	for attempt := 0; attempt < rechecks && len(suspects) > 0; attempt++ {
		if err := wait(ctx, s.RecheckDelay); err != nil {
			return nil, nil, err
		}
		var moving []string
		for part := range slices.Chunk(suspects, recheckBatch) {
			still, err := s.recheck(ctx, part, &wrong)
			if err != nil {
				return nil, nil, err
			}
			moving = append(moving, still...)
		}
		suspects = moving
	}
	out = rules()
	for i := range out {
		ids := wrong.checks[out[i].Name]
		slices.Sort(ids)
		out[i].Checked, out[i].Wrong, out[i].Examples = counts[out[i].Name], int64(len(ids)), ids[:min(len(ids), shown)]
	}
	if len(suspects) > 0 {
		out[0].Note = fmt.Sprintf("%d orders moved all the while and were not judged", len(suspects))
	}
	slices.Sort(wrong.lost)
	return out, wrong.lost, nil
}

// confirmed is what the second check found wrong: the IDs of orders by check, and those of lost orders.
type confirmed struct {
	checks map[string][]string
	lost   []string
}

// recheck checks orders again and adds the failed checks to wrong. It reads each order before and after its payments
// and reservations. It returns an order that changed in between as moving, and skips one that a saga works on.
func (s Sources) recheck(ctx context.Context, ids []string, wrong *confirmed) (moving []string, err error) {
	before, err := byKey[order](ctx, s.Order, sqlOrders, ids)
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	payments, err := byKey[payment](ctx, s.Payment, sqlPayments, ids)
	if err != nil {
		return nil, fmt.Errorf("payment: %w", err)
	}
	reservations, err := byKey[reservation](ctx, s.Product, sqlReservations, ids)
	if err != nil {
		return nil, fmt.Errorf("product: %w", err)
	}
	redemptions, err := byKey[redemption](ctx, s.Voucher, sqlRedemptions, ids)
	if err != nil {
		return nil, fmt.Errorf("voucher: %w", err)
	}
	after, err := byKey[order](ctx, s.Order, sqlOrders, ids)
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	for _, id := range ids {
		v := view{id: id, payments: payments[id], reservations: reservations[id], redemptions: redemptions[id]}
		if !slices.Equal(before[id], after[id]) {
			moving = append(moving, id)
			continue
		}
		if len(before[id]) > 0 {
			v.order = &before[id][0]
			if v.order.Open {
				continue // the saga will correct the order, or is reported as stuck
			}
		}
		broken := v.broken()
		for _, check := range broken {
			wrong.checks[check] = append(wrong.checks[check], id)
		}
		if v.order == nil && len(broken) > 0 {
			wrong.lost = append(wrong.lost, id)
		}
	}
	return moving, nil
}

type keyed interface{ key() string }

func byKey[T keyed](ctx context.Context, pool *pgxpool.Pool, sql string, ids []string) (map[string][]T, error) {
	out := map[string][]T{}
	err := snapshot(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, ids)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		for _, v := range list {
			out[v.key()] = append(out[v.key()], v)
		}
		return err
	})
	return out, err
}

// views calls f for every order that one of the databases holds. It merges the databases' rows in the order of the IDs,
// so that memory does not grow with the number of orders.
func (s Sources) views(ctx context.Context, f func(view)) error {
	return snapshots(ctx, []*pgxpool.Pool{s.Order, s.Payment, s.Product, s.Voucher}, nil, func(tx []pgx.Tx) error {
		var failed error
		orders, stopOrders := iter.Pull(stream[order](ctx, tx[0], sqlOrders, &failed))
		defer stopOrders()
		payments, stopPayments := iter.Pull(stream[payment](ctx, tx[1], sqlPayments, &failed))
		defer stopPayments()
		reservations, stopReservations := iter.Pull(stream[reservation](ctx, tx[2], sqlReservations, &failed))
		defer stopReservations()
		redemptions, stopRedemptions := iter.Pull(stream[redemption](ctx, tx[3], sqlRedemptions, &failed))
		defer stopRedemptions()
		merge(orders, payments, reservations, redemptions, f)
		return failed
	})
}

// snapshots calls f with a snapshot of each database after those that were taken already.
func snapshots(ctx context.Context, pools []*pgxpool.Pool, taken []pgx.Tx, f func([]pgx.Tx) error) error {
	if len(pools) == 0 {
		return f(taken)
	}
	return snapshot(ctx, pools[0], func(tx pgx.Tx) error { return snapshots(ctx, pools[1:], append(taken, tx), f) })
}

// stream reads rows one by one. It adds errors to failed.
func stream[T keyed](ctx context.Context, tx pgx.Tx, sql string, failed *error) iter.Seq[T] {
	return func(yield func(T) bool) {
		rows, err := tx.Query(ctx, sql, nil)
		if err != nil {
			*failed = errors.Join(*failed, postgres.Err(err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			v, err := pgx.RowToStructByPos[T](rows)
			if err != nil {
				*failed = errors.Join(*failed, err)
				return
			}
			if !yield(v) {
				return
			}
		}
		*failed = errors.Join(*failed, postgres.Err(rows.Err()))
	}
}

// merge joins sorted streams on their keys.
func merge(
	orders func() (order, bool), payments func() (payment, bool), reservations func() (reservation, bool),
	redemptions func() (redemption, bool), f func(view),
) {
	o, moreO := orders()
	p, moreP := payments()
	r, moreR := reservations()
	u, moreU := redemptions()
	for moreO || moreP || moreR || moreU {
		v := view{}
		for _, next := range []struct {
			more bool
			key  string
		}{{moreO, o.key()}, {moreP, p.key()}, {moreR, r.key()}, {moreU, u.key()}} {
			if next.more && (v.id == "" || next.key < v.id) {
				v.id = next.key
			}
		}
		for moreO && o.key() == v.id {
			found := o
			v.order = &found
			o, moreO = orders()
		}
		for moreP && p.key() == v.id {
			v.payments = append(v.payments, p)
			p, moreP = payments()
		}
		for moreR && r.key() == v.id {
			v.reservations = append(v.reservations, r)
			r, moreR = reservations()
		}
		for moreU && u.key() == v.id {
			v.redemptions = append(v.redemptions, u)
			u, moreU = redemptions()
		}
		f(v)
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
