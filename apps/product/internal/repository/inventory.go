package repository

import (
	"context"
	_ "embed" // for the statements below
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// The events of stock.
const (
	subjectReserved = "evt.inventory.reserved"
	subjectReleased = "evt.inventory.released"
	subjectLow      = "evt.inventory.low"
)

// queued is an operation with the context of its caller. The events of the operation belong to the trace of ctx.
type queued struct {
	domain.Operation
	ctx context.Context
}

// Apply applies an operation. Concurrent operations are batched: they share one commit, and those on the same
// variant share one update of its row.
//
// One such transaction runs at a time, so it must not wait. Operations on rows that another transaction has
// locked (an import, another process) run in transactions that wait.
//
// Errors: those of [domain.Ledger], timeout, unavailable.
func (s *Store) Apply(ctx context.Context, op domain.Operation) (*domain.Reservation, error) {
	r, err := s.group.Submit(ctx, queued{Operation: op, ctx: ctx})
	if errors.Is(err, errBusy) {
		r, err = s.patient.Submit(ctx, queued{Operation: op, ctx: ctx})
	}
	return r, err
}

// errBusy is the result of an operation whose rows another transaction has locked. It does not leave this package.
var errBusy = errors.New("rows are locked")

// attempts is the most attempts of a transaction if another process inserts the same reservation concurrently.
const attempts = 3

// run applies operations in one transaction. A refused operation does not affect the others. Unless wait is set, an
// operation whose rows are locked fails with errBusy.
func (s *Store) run(ctx context.Context, ops []queued, wait bool) ([]batch.Result[*domain.Reservation], error) {
	for attempt := 1; ; attempt++ {
		results, flipped, err := s.runOnce(ctx, ops, wait)
		waited := !wait && lockTimedOut(err)
		if waited || postgres.IsUnique(err, "reservation_pkey") {
			switch {
			case len(ops) > 1: // the batch may conflict with another process again
				return s.each(ctx, ops, wait), nil
			case waited:
				return nil, errBusy
			case attempt < attempts:
				continue
			}
		}
		if err != nil {
			return nil, postgres.Err(err)
		}
		s.changed(ctx, flipped)
		s.opts.wake()
		return results, nil
	}
}

// each applies operations one after another, each in a transaction of its own.
func (s *Store) each(ctx context.Context, ops []queued, wait bool) []batch.Result[*domain.Reservation] {
	out := make([]batch.Result[*domain.Reservation], len(ops))
	for i := range ops {
		one, err := s.run(ctx, ops[i:i+1], wait)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = one[0]
	}
	return out
}

// shortLockTimeout keeps a transaction that must not wait from waiting long for a lock. It skips locked stock
// and reservations, but may still meet a locked listing (a product sells out) or a reservation that another
// process inserts.
var shortLockTimeout = []string{"set local lock_timeout = '20ms'"}

// runOnce runs one transaction of two pgx batches: one locks and reads, the other writes. It returns the IDs of the
// products that sold out or came back.
func (s *Store) runOnce(
	ctx context.Context, ops []queued, wait bool,
) (results []batch.Result[*domain.Reservation], flipped []string, err error) {
	settings := shortLockTimeout
	if wait {
		settings = nil
	}
	err = postgres.InBatches(ctx, s.pool, settings, func(tx *postgres.Batches) error {
		st, err := s.open(ctx, tx, ops, wait)
		if err != nil {
			return err
		}
		results = make([]batch.Result[*domain.Reservation], len(ops))
		for i, op := range ops {
			results[i] = st.decide(op)
		}
		if len(st.moved) == 0 {
			return nil
		}
		if err := failpoint.Hit(ctx, FailBeforeStock); err != nil {
			return err
		}
		flipped, err = st.write(ctx, tx)
		return err
	})
	if err == nil {
		err = failpoint.Hit(ctx, FailAfterStockCommit)
	}
	return results, flipped, err
}

func lockTimedOut(err error) bool {
	const lockNotAvailable = "55P03"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == lockNotAvailable
}

// locked reports whether this transaction has locked all rows that an operation touches.
func (r *stockTx) locked(op queued) bool {
	lines := op.Lines
	if x := r.ledger.Reservations[op.OrderID]; x != nil {
		lines = slices.Concat(lines, x.Lines)
	}
	return !r.busy[op.OrderID] && !slices.ContainsFunc(lines, func(l domain.Line) bool { return r.busy[l.VariantID] })
}

func (r *stockTx) decide(op queued) batch.Result[*domain.Reservation] {
	if len(r.busy) > 0 && !r.locked(op) {
		return batch.Result[*domain.Reservation]{Err: errBusy}
	}
	var changed bool
	var err error
	var back []domain.Line // nil: the event names all lines
	subject, reason := subjectReleased, ""
	was := domain.State("")
	if x := r.ledger.Reservations[op.OrderID]; x != nil {
		was = x.State
	}
	switch op.Kind {
	case domain.Reserve:
		subject = subjectReserved
		_, changed, err = r.ledger.Reserve(op.OrderID, op.Lines, op.Hash, r.now.Add(op.TTL))
	case domain.Release:
		reason = "released"
		changed, err = r.ledger.Release(op.OrderID, r.now)
	case domain.Expire:
		reason = "expired"
		changed = r.ledger.Expire(op.OrderID, r.now)
	case domain.Restock:
		reason = "restocked"
		back, err = r.ledger.Restock(op.OrderID, op.VariantIDs)
		changed = len(back) > 0
		r.restocked[op.OrderID] = append(r.restocked[op.OrderID], back...)
	case domain.Commit:
		subject = ""
		changed, err = r.ledger.Commit(op.OrderID)
	default:
		err = errs.New(errs.Internal, "unknown operation")
	}
	if err != nil {
		return batch.Result[*domain.Reservation]{Err: err}
	}
	x := r.ledger.Reservations[op.OrderID]
	if changed {
		if !r.changed[op.OrderID] {
			r.changed[op.OrderID] = true
			r.moved = append(r.moved, op.OrderID)
		}
		if op.Kind == domain.Release && was != domain.Held {
			subject = "" // no pieces were given back
		}
		if back == nil {
			back = x.Lines
		}
		if err := r.addEvent(op, subject, reason, x.OrderID, back); err != nil {
			return batch.Result[*domain.Reservation]{Err: err}
		}
	}
	answer := *x
	return batch.Result[*domain.Reservation]{Value: &answer}
}

// addEvent adds the event of an operation to those that the transaction appends. An empty subject adds none.
func (r *stockTx) addEvent(op queued, subject, reason, orderID string, of []domain.Line) error {
	if subject == "" {
		return nil
	}
	lines := make([]*productv1.InventoryLine, len(of))
	for i, l := range of {
		lines[i] = &productv1.InventoryLine{
			VariantId: l.VariantID,
			ProductId: r.ledger.Stocks[l.VariantID].ProductID,
			Quantity:  l.Quantity,
			ShopId:    r.ledger.Stocks[l.VariantID].ShopID,
		}
	}
	var m protoMessage = &productv1.InventoryReleased{OrderId: orderID, Lines: lines, Reason: reason}
	if subject == subjectReserved {
		m = &productv1.InventoryReserved{OrderId: orderID, Lines: lines}
	}
	e, err := event.New(op.ctx, subject, orderID, 0, r.now, m)
	if err == nil {
		r.events = append(r.events, e)
	}
	return err
}

// write writes the changes and commits them in one round trip. If products sold out or came back, it only
// writes them and refreshes the listings, and returns the IDs of these products.
func (r *stockTx) write(ctx context.Context, tx *postgres.Batches) (flipped []string, err error) {
	var stocks, added, lines, moved, restocked postgres.Rows
	for variantID, stock := range r.ledger.Stocks {
		was := r.before[variantID]
		if was.OnHand == stock.OnHand && was.Reserved == stock.Reserved {
			continue
		}
		stocks.Add(variantID, stock.OnHand, stock.Reserved)
		if (was.Available() > 0) != (stock.Available() > 0) && !slices.Contains(flipped, stock.ProductID) {
			flipped = append(flipped, stock.ProductID)
		}
		if low := r.store.opts.LowStock; was.Available() > low && stock.Available() <= low {
			e, err := r.store.lowEvent(ctx, *stock)
			if err != nil {
				return nil, err
			}
			r.events = append(r.events, e)
		}
	}
	slices.Sort(r.moved) // so that two transactions with the same new orders do not deadlock
	for _, orderID := range r.moved {
		x := r.ledger.Reservations[orderID]
		if was, known := r.known[orderID]; known {
			moved.Add(orderID, string(was), string(x.State))
			for _, l := range r.restocked[orderID] {
				restocked.Add(orderID, l.VariantID)
			}
			continue
		}
		added.Add(orderID, string(x.State), list(x.Hash), x.ExpiresAt)
		for _, l := range x.Lines {
			lines.Add(orderID, l.VariantID, l.Quantity)
		}
	}
	b := &pgx.Batch{}
	for _, w := range []struct {
		sql  string
		rows postgres.Rows
		more []any
	}{
		{sqlWriteStocks, stocks, nil},
		{sqlAddReservations, added, []any{r.now}},
		{sqlAddReservationLines, lines, nil},
		{sqlMoveReservations, moved, []any{r.now}},
		{sqlRestockLines, restocked, nil},
	} {
		if !w.rows.Empty() {
			b.Queue(w.sql, append(w.rows.Args(), w.more...)...)
		}
	}
	outbox.Queue(b, r.events...)
	if len(flipped) == 0 {
		return nil, tx.Commit(ctx, b)
	}
	if err := tx.Send(ctx, b); err != nil {
		return nil, err
	}
	slices.Sort(flipped)
	return flipped, refreshListings(ctx, sqlc.New(tx.Conn()), flipped)
}

var (
	//go:embed sql/write_stocks.sql
	sqlWriteStocks string
	//go:embed sql/add_reservations.sql
	sqlAddReservations string
	//go:embed sql/add_reservation_lines.sql
	sqlAddReservationLines string
	//go:embed sql/move_reservations.sql
	sqlMoveReservations string
	//go:embed sql/restock_lines.sql
	sqlRestockLines string
)

func (s *Store) lowEvent(ctx context.Context, k domain.Stock) (event.Event, error) {
	return event.New(ctx, subjectLow, k.VariantID, 0, s.opts.Clock.Now(), &productv1.InventoryLow{
		VariantId: k.VariantID, ProductId: k.ProductID, ShopId: k.ShopID, Sku: k.SKU, Title: k.Title,
		Available: k.Available(),
	})
}

// Sweep expires at most limit reservations whose time is up and returns how many there were. It leaves those
// that another transaction has locked to the next call.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	ids, err := s.q.Lapsed(ctx, sqlc.LapsedParams{Now: s.opts.Clock.Now(), Most: int32(limit)})
	if err != nil || len(ids) == 0 {
		return 0, postgres.Err(err)
	}
	ops := make([]queued, len(ids))
	for i, orderID := range ids {
		ops[i] = queued{Operation: domain.Operation{Kind: domain.Expire, OrderID: orderID}, ctx: ctx}
	}
	results, err := s.run(ctx, ops, false)
	n := 0
	for _, r := range results {
		if !errors.Is(r.Err, errBusy) {
			n++
		}
	}
	return n, err
}

// Forget deletes at most limit released and restocked reservations and tombstones that ended before the given
// time. It returns how many it deleted. No saga asks about these once it is deleted itself. If one did, a
// release would leave a tombstone, and other calls would get not_found or make a new reservation.
//
// A sale stays as long as its order does, because the order may be cancelled and restocked at any time before it is
// shipped. An expired reservation stays too, because its checkout may be parked past its pivot and commit it later.
func (s *Store) Forget(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.q.ForgetReservations(ctx, sqlc.ForgetReservationsParams{Before: before, Most: int32(limit)})
	return int(n), postgres.Err(err)
}
