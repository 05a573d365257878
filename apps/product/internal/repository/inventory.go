package repository

import (
	"context"
	_ "embed" // the statements below
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	productv1 "souk/gen/go/souk/product/v1"
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

// queued is an operation of a caller, whose trace its events belong to.
type queued struct {
	domain.Operation
	ctx context.Context
}

// Do carries out an operation, together with all others that come at the same time: orders that want
// the same variant cost one update of its row, and all of them share one commit.
//
// One such transaction runs at a time, so it must not wait: what somebody else has locked (an import, another
// process) it leaves to transactions that do.
func (s *Store) Do(ctx context.Context, op domain.Operation) (*domain.Reservation, error) {
	r, err := s.group.Do(ctx, queued{Operation: op, ctx: ctx})
	if errors.Is(err, errBusy) {
		r, err = s.patient.Do(ctx, queued{Operation: op, ctx: ctx})
	}
	return r, err
}

// errBusy is the result of an operation whose rows somebody else has locked. Nobody outside sees it.
var errBusy = errors.New("rows are locked")

// attempts bounds how often a run is repeated because another process made the same reservation meanwhile.
const attempts = 3

// run carries out operations in one transaction. An operation that is refused does not concern the others. Unless
// it is patient, one whose rows are locked fails with errBusy.
func (s *Store) run(ctx context.Context, ops []queued, patient bool) ([]postgres.Result[*domain.Reservation], error) {
	for attempt := 1; ; attempt++ {
		results, flipped, err := s.apply(ctx, ops, patient)
		waited := !patient && lockTimedOut(err)
		if waited || postgres.IsUnique(err, "reservation_pkey") {
			switch {
			case len(ops) > 1: // together they may meet another process again and again
				return s.each(ctx, ops, patient), nil
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

// each carries out operations one after another, each in a transaction of its own.
func (s *Store) each(ctx context.Context, ops []queued, patient bool) []postgres.Result[*domain.Reservation] {
	out := make([]postgres.Result[*domain.Reservation], len(ops))
	for i := range ops {
		one, err := s.run(ctx, ops[i:i+1], patient)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = one[0]
	}
	return out
}

func (s *Store) apply(ctx context.Context, ops []queued, patient bool) (results []postgres.Result[*domain.Reservation], flipped []string, err error) {
	var db postgres.Beginner = hurried{s.pool}
	if patient {
		db = s.pool
	}
	err = postgres.InTx(ctx, db, func(tx pgx.Tx) error {
		st, err := s.open(ctx, tx, ops, patient)
		if err != nil {
			return err
		}
		results = make([]postgres.Result[*domain.Reservation], len(ops))
		for i, op := range ops {
			results[i] = st.decide(op)
		}
		if len(st.moved) == 0 {
			return nil
		}
		if err := failpoint.Hit(ctx, FailBeforeStock); err != nil {
			return err
		}
		if flipped, err = st.write(ctx, tx); err != nil {
			return err
		}
		return failpoint.Hit(ctx, FailBeforeStockCommit)
	})
	if err == nil {
		err = failpoint.Hit(ctx, FailAfterStockCommit)
	}
	return results, flipped, err
}

// hurried begins transactions that wait hardly for a lock. They pass by locked stock and reservations; a listing (a product
// that sells out) or a reservation that another process is just making they may meet all the same.
type hurried struct{ pool *pgxpool.Pool }

func (h hurried) Begin(ctx context.Context) (pgx.Tx, error) {
	return h.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: "begin; set local lock_timeout = '20ms'"})
}

func lockTimedOut(err error) bool {
	const lockNotAvailable = "55P03"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == lockNotAvailable
}

// stockTx is one transaction over the stock.
type stockTx struct {
	store  *Store
	now    time.Time
	ledger domain.Ledger
	// before is what the stocks and reservations were when they were locked.
	before  map[string]domain.Stock
	known   map[string]domain.State
	moved   []string // orders whose reservation changed
	changed map[string]bool
	events  []event.Event
	// busy are the orders and variants whose rows somebody else has locked.
	busy map[string]bool
}

// open locks what the operations touch: first the reservations, then the stock, each in the order of
// its key, so that transactions that wait for each other never do so in a circle. Those that wait for
// nothing here may come to wait later, for a new reservation's key or a listing: these, too, are taken in
// order, and after all the others.
func (s *Store) open(ctx context.Context, tx pgx.Tx, ops []queued, patient bool) (*stockTx, error) {
	q := s.q.WithTx(tx)
	r := &stockTx{
		store: s, now: s.opts.Clock.Now(), before: map[string]domain.Stock{}, known: map[string]domain.State{}, changed: map[string]bool{}, busy: map[string]bool{},
		ledger: domain.Ledger{Stocks: map[string]*domain.Stock{}, Reservations: map[string]*domain.Reservation{}},
	}
	var orders, wanted []string
	for _, op := range ops {
		orders = append(orders, op.OrderID)
		for _, l := range op.Lines {
			wanted = append(wanted, l.VariantID)
		}
	}
	reservations, err := lockReservations(ctx, q, orders, patient)
	if err != nil {
		return nil, err
	}
	var existing []string
	for _, x := range reservations {
		if !x.Locked {
			r.busy[x.OrderID] = true
			continue
		}
		existing = append(existing, x.OrderID)
		r.known[x.OrderID] = domain.State(x.State)
		r.ledger.Reservations[x.OrderID] = &domain.Reservation{OrderID: x.OrderID, State: domain.State(x.State), Hash: x.RequestHash, ExpiresAt: x.ExpiresAt}
	}
	if len(existing) > 0 {
		lines, err := q.ReservationLines(ctx, existing)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			x := r.ledger.Reservations[l.OrderID]
			x.Lines = append(x.Lines, domain.Line{VariantID: l.VariantID, Quantity: l.Quantity})
			wanted = append(wanted, l.VariantID)
		}
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	if len(wanted) == 0 {
		return r, nil
	}
	stocks, err := lockStocks(ctx, q, wanted, patient)
	if err != nil {
		return nil, err
	}
	for _, k := range stocks {
		if !k.Locked {
			r.busy[k.VariantID] = true
			continue
		}
		stock := domain.Stock{VariantID: k.VariantID, ProductID: k.ProductID, ShopID: k.ShopID, SKU: k.Sku, Title: k.Title, OnHand: k.OnHand, Reserved: k.Reserved, ForSale: k.ForSale}
		r.before[k.VariantID] = stock
		r.ledger.Stocks[k.VariantID] = &stock
	}
	return r, nil
}

func lockReservations(ctx context.Context, q *sqlc.Queries, orders []string, patient bool) ([]sqlc.LockReservationsRow, error) {
	if patient {
		return q.LockReservations(ctx, orders)
	}
	rows, err := q.TryReservations(ctx, orders)
	all := make([]sqlc.LockReservationsRow, len(rows))
	for i, r := range rows {
		all[i] = sqlc.LockReservationsRow(r)
	}
	return all, err
}

func lockStocks(ctx context.Context, q *sqlc.Queries, variants []string, patient bool) ([]sqlc.LockStocksRow, error) {
	if patient {
		return q.LockStocks(ctx, variants)
	}
	rows, err := q.TryStocks(ctx, variants)
	all := make([]sqlc.LockStocksRow, len(rows))
	for i, r := range rows {
		all[i] = sqlc.LockStocksRow(r)
	}
	return all, err
}

// locked reports whether all is locked that an operation touches.
func (r *stockTx) locked(op queued) bool {
	lines := op.Lines
	if x := r.ledger.Reservations[op.OrderID]; x != nil {
		lines = slices.Concat(lines, x.Lines)
	}
	return !r.busy[op.OrderID] && !slices.ContainsFunc(lines, func(l domain.Line) bool { return r.busy[l.VariantID] })
}

func (r *stockTx) decide(op queued) postgres.Result[*domain.Reservation] {
	if len(r.busy) > 0 && !r.locked(op) {
		return postgres.Result[*domain.Reservation]{Err: errBusy}
	}
	var changed bool
	var err error
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
		changed, err = r.ledger.Restock(op.OrderID)
	case domain.Commit:
		subject = ""
		changed, err = r.ledger.Commit(op.OrderID)
	default:
		err = errs.New(errs.Internal, "unknown operation")
	}
	if err != nil {
		return postgres.Result[*domain.Reservation]{Err: err}
	}
	x := r.ledger.Reservations[op.OrderID]
	if changed {
		if !r.changed[op.OrderID] {
			r.changed[op.OrderID] = true
			r.moved = append(r.moved, op.OrderID)
		}
		if op.Kind == domain.Release && was != domain.Held {
			subject = "" // nothing came back
		}
		if err := r.tell(op, subject, reason, x); err != nil {
			return postgres.Result[*domain.Reservation]{Err: err}
		}
	}
	answer := *x
	return postgres.Result[*domain.Reservation]{Value: &answer}
}

// tell adds the event of an operation.
func (r *stockTx) tell(op queued, subject, reason string, x *domain.Reservation) error {
	if subject == "" {
		return nil
	}
	lines := make([]*productv1.InventoryLine, len(x.Lines))
	for i, l := range x.Lines {
		lines[i] = &productv1.InventoryLine{VariantId: l.VariantID, ProductId: r.ledger.Stocks[l.VariantID].ProductID, Quantity: l.Quantity}
	}
	var m protoMessage = &productv1.InventoryReleased{OrderId: x.OrderID, Lines: lines, Reason: reason}
	if subject == subjectReserved {
		m = &productv1.InventoryReserved{OrderId: x.OrderID, Lines: lines}
	}
	e, err := event.New(op.ctx, subject, x.OrderID, 0, r.now, m)
	if err == nil {
		r.events = append(r.events, e)
	}
	return err
}

// write writes what has changed in one round trip, and the listings of products that sold out or came
// back, whose IDs it returns.
func (r *stockTx) write(ctx context.Context, tx pgx.Tx) (flipped []string, err error) {
	var stocks struct {
		VariantIds        []string
		OnHands, Reserved []int64
	}
	for variantID, stock := range r.ledger.Stocks {
		was := r.before[variantID]
		if was.OnHand == stock.OnHand && was.Reserved == stock.Reserved {
			continue
		}
		stocks.VariantIds, stocks.OnHands, stocks.Reserved = append(stocks.VariantIds, variantID), append(stocks.OnHands, stock.OnHand), append(stocks.Reserved, stock.Reserved)
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
	var added, lines, moved columns
	slices.Sort(r.moved) // or two transactions with the same new orders may wait for each other's keys
	for _, orderID := range r.moved {
		x := r.ledger.Reservations[orderID]
		if was, known := r.known[orderID]; known {
			moved.add(orderID, string(was), string(x.State))
			continue
		}
		added.add(orderID, string(x.State))
		added.hashes, added.times = append(added.hashes, list(x.Hash)), append(added.times, x.ExpiresAt)
		for _, l := range x.Lines {
			lines.add(orderID, l.VariantID)
			lines.numbers = append(lines.numbers, l.Quantity)
		}
	}
	b := &pgx.Batch{}
	all := func(n int) func(pgconn.CommandTag) error {
		return func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != int64(n) {
				return errNotAll
			}
			return nil
		}
	}
	if n := len(stocks.VariantIds); n > 0 {
		b.Queue(sqlWriteStocks, stocks.VariantIds, stocks.OnHands, stocks.Reserved).Exec(all(n))
	}
	if len(added.texts[0]) > 0 {
		b.Queue(sqlAddReservations, added.texts[0], added.texts[1], added.hashes, added.times, r.now)
	}
	if len(lines.texts[0]) > 0 {
		b.Queue(sqlAddReservationLines, lines.texts[0], lines.texts[1], lines.numbers)
	}
	if n := len(moved.texts[0]); n > 0 {
		b.Queue(sqlMoveReservations, moved.texts[0], moved.texts[1], moved.texts[2], r.now).Exec(all(n))
	}
	outbox.Queue(b, r.events...)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	if len(flipped) == 0 {
		return nil, nil
	}
	slices.Sort(flipped)
	return flipped, r.store.refresh(ctx, tx, flipped)
}

// columns are the arrays of a set-based statement.
type columns struct {
	texts   [3][]string
	hashes  [][]byte
	times   []time.Time
	numbers []int64
}

func (c *columns) add(texts ...string) {
	for i, text := range texts {
		c.texts[i] = append(c.texts[i], text)
	}
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
)

var errNotAll = errors.New("fewer rows were written than were locked")

func (s *Store) lowEvent(ctx context.Context, k domain.Stock) (event.Event, error) {
	return event.New(ctx, subjectLow, k.VariantID, 0, s.opts.Clock.Now(), &productv1.InventoryLow{
		VariantId: k.VariantID, ProductId: k.ProductID, ShopId: k.ShopID, Sku: k.SKU, Available: k.Available(),
	})
}

// Sweep ends reservations whose time is up, at most so many, and returns how many there were. Those that somebody
// else is busy with are left for the next time.
func (s *Store) Sweep(ctx context.Context, most int) (int, error) {
	ids, err := s.q.Lapsed(ctx, sqlc.LapsedParams{Now: s.opts.Clock.Now(), Most: int32(most)})
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

// Forget deletes reservations that came to their end before the time, at most so many, and returns how many: what was
// released, restocked, or refused in advance. Nobody asks about these again once their sagas are forgotten; if somebody
// did, a release would leave a tombstone, and all else find nothing.
//
// A sale stays as long as its order does, which may be cancelled and restocked any time before it is shipped. One
// that has expired stays, too: it is no end, for its checkout may be parked past its pivot, and commit it yet.
func (s *Store) Forget(ctx context.Context, before time.Time, most int) (int, error) {
	n, err := s.q.ForgetReservations(ctx, sqlc.ForgetReservationsParams{Before: before, Most: int32(most)})
	return int(n), postgres.Err(err)
}

// SetStock sets how many pieces of a variant are on hand. Its errors: not_found, conflict when more are reserved.
func (s *Store) SetStock(ctx context.Context, variantID string, onHand int64) (domain.Stock, error) {
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
		stock = domain.Stock{VariantID: variantID, ProductID: v.ProductID, ShopID: v.ShopID, SKU: v.Sku, OnHand: onHand, Reserved: rows[0].Reserved}
		if onHand < stock.Reserved {
			return errs.New(errs.Conflict, "%d pieces are reserved by open orders: on hand cannot be less", stock.Reserved)
		}
		if err := q.SaveStock(ctx, sqlc.SaveStockParams{VariantIds: []string{variantID}, OnHands: []int64{onHand}}); err != nil {
			return postgres.Err(err)
		}
		if err := q.ForgetImport(ctx, sqlc.ForgetImportParams{Now: s.opts.Clock.Now(), ID: v.ProductID}); err != nil {
			return postgres.Err(err)
		}
		if low := s.opts.LowStock; rows[0].OnHand-rows[0].Reserved > low && stock.Available() <= low {
			e, err := s.lowEvent(ctx, stock)
			if err != nil {
				return err
			}
			if err := outbox.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return s.refresh(ctx, tx, []string{v.ProductID})
	})
	if err != nil {
		return domain.Stock{}, coded(err)
	}
	s.changed(ctx, []string{stock.ProductID})
	return stock, nil
}
