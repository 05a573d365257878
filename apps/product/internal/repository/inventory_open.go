package repository

import (
	"context"
	_ "embed" // for the statements below
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/lock_reservations.sql
	sqlLockReservations string
	//go:embed sql/try_reservations.sql
	sqlTryReservations string
	//go:embed sql/reservation_lines.sql
	sqlReservationLines string
	//go:embed sql/lock_stocks.sql
	sqlLockStocks string
	//go:embed sql/try_stocks.sql
	sqlTryStocks string
)

// stockTx is one transaction over the stock.
type stockTx struct {
	store  *Store
	now    time.Time
	ledger domain.Ledger
	// before and known are the stocks, and the states of the reservations, as they were when they were locked.
	before  map[string]domain.Stock
	known   map[string]domain.State
	moved   []string // orders whose reservation changed
	changed map[string]bool
	// restocked are the lines that went back on hand, by order.
	restocked map[string][]domain.Line
	events    []event.Event
	// busy are the orders and variants whose rows another transaction has locked.
	busy map[string]bool
}

// open locks the rows that the operations touch, in one round trip: first the reservations, then the stock,
// each in key order, so that transactions do not deadlock. With wait unset, it skips rows that are locked. Such
// a transaction may still wait later, for a new reservation's key or for a listing. Those are also locked in
// order, and after the others.
func (s *Store) open(ctx context.Context, tx *postgres.Batches, ops []queued, wait bool) (*stockTx, error) {
	r := &stockTx{
		store:     s,
		now:       s.opts.Clock.Now(),
		before:    map[string]domain.Stock{},
		known:     map[string]domain.State{},
		changed:   map[string]bool{},
		restocked: map[string][]domain.Line{},
		busy:      map[string]bool{},
		ledger:    domain.Ledger{Stocks: map[string]*domain.Stock{}, Reservations: map[string]*domain.Reservation{}},
	}
	orders, variants := make([]string, 0, len(ops)), make([]string, 0, 2*len(ops))
	for _, op := range ops {
		orders = append(orders, op.OrderID)
		for _, l := range op.Lines {
			variants = append(variants, l.VariantID)
		}
	}
	reservations, stocks := sqlTryReservations, sqlTryStocks
	if wait {
		reservations, stocks = sqlLockReservations, sqlLockStocks
	}
	b := &pgx.Batch{}
	b.Queue(reservations, orders).Query(eachRow(r.addReservation))
	b.Queue(sqlReservationLines, orders).Query(eachRow(r.addLine))
	b.Queue(stocks, variants, orders).Query(eachRow(r.addStock))
	return r, tx.Send(ctx, b)
}

// eachRow calls add for each row. add scans it.
func eachRow(add func(pgx.Row) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := add(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func (r *stockTx) addReservation(row pgx.Row) error {
	var x domain.Reservation
	var locked bool
	if err := row.Scan(&x.OrderID, &x.State, &x.Hash, &x.ExpiresAt, &locked); err != nil {
		return err
	}
	if !locked {
		r.busy[x.OrderID] = true
		return nil
	}
	r.known[x.OrderID] = x.State
	r.ledger.Reservations[x.OrderID] = &x
	return nil
}

// addLine adds a line to a locked reservation. Lines of others are not needed, because nothing is decided about
// them.
func (r *stockTx) addLine(row pgx.Row) error {
	var orderID string
	var l domain.Line
	if err := row.Scan(&orderID, &l.VariantID, &l.Quantity, &l.Restocked); err != nil {
		return err
	}
	if x := r.ledger.Reservations[orderID]; x != nil {
		x.Lines = append(x.Lines, l)
	}
	return nil
}

func (r *stockTx) addStock(row pgx.Row) error {
	var k domain.Stock
	var locked bool
	if err := row.Scan(&k.VariantID, &k.OnHand, &k.Reserved, &k.ProductID, &k.ShopID, &k.SKU, &k.Title, &k.ForSale,
		&locked); err != nil {
		return err
	}
	if !locked {
		r.busy[k.VariantID] = true
		return nil
	}
	r.before[k.VariantID] = k
	r.ledger.Stocks[k.VariantID] = &k
	return nil
}
