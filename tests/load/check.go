package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const sagasTimeout = 2 * time.Minute

// check waits until all sagas have ended, runs souk verify, and compares the orders with those that were acknowledged:
// each exists once and is confirmed, and no customer has a second one.
func (s *souk) check(ctx context.Context, acknowledged *placed) (string, error) {
	conn, err := pgx.Connect(ctx, s.state.Databases["order"])
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	if err := awaitSagas(ctx, conn); err != nil {
		return "", err
	}
	if _, err := s.command(ctx, "verify", "--settle", "20s"); err != nil {
		return "", err
	}
	rows, err := conn.Query(ctx, "select id, email, status from orders")
	if err != nil {
		return "", err
	}
	there, err := pgx.CollectRows(rows, pgx.RowToStructByPos[order])
	if err != nil {
		return "", err
	}
	if err := acknowledged.compare(there); err != nil {
		return "", err
	}
	return fmt.Sprintf(
		"souk verify is clean; %d acknowledged orders are there, each once",
		len(acknowledged.orders),
	), nil
}

// order is a row of the order service's database.
type order struct{ ID, Email, Status string }

// compare returns an error unless each acknowledged order is among those that are there, confirmed, and no customer has
// a second one.
func (p *placed) compare(there []order) error {
	confirmed, orders := map[string]bool{}, map[string]int{}
	for _, o := range there {
		if o.Status == "confirmed" {
			confirmed[o.ID] = true
			orders[o.Email]++
		}
	}
	var missing, twice []string
	for order, email := range p.orders {
		if !confirmed[order] {
			missing = append(missing, order)
		}
		if orders[email] > 1 {
			twice = append(twice, email)
		}
	}
	if wrong := slices.Concat(missing, twice); len(wrong) > 0 {
		return fmt.Errorf("of %d acknowledged orders %d are not there, and %d customers have several: %s",
			len(p.orders), len(missing), len(twice), strings.Join(wrong[:min(5, len(wrong))], ", "))
	}
	return nil
}

func awaitSagas(ctx context.Context, conn *pgx.Conn) error {
	for began := time.Now(); time.Since(began) < sagasTimeout; {
		var open int
		err := conn.QueryRow(ctx, "select count(*) from saga where state in ('running', 'compensating')").Scan(&open)
		if err != nil || open == 0 {
			return err
		}
		if !wait(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return errors.New("sagas still run")
}

// sold counts the confirmed orders of a variant.
func (s *souk) sold(ctx context.Context, variant string) (n int, err error) {
	conn, err := pgx.Connect(ctx, s.state.Databases["order"])
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	err = conn.QueryRow(ctx, `select count(*) from order_item i join orders o on o.id = i.order_id
		where i.variant_id = $1 and o.status = 'confirmed'`, variant).Scan(&n)
	return n, err
}
