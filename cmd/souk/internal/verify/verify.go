// Package verify checks the invariants over all of souk's databases: stock, orders, payments, sagas, events.
//
// It only reads. Each database is read in one snapshot, but the snapshots of several databases are from different
// moments. A difference between databases is therefore only a suspicion. Suspects are checked again after a delay.
// They count as wrong if their order did not change during the second check and no saga works on it. A busy system
// thus causes no false reports.
package verify

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// shown is how many offending IDs a check names.
const shown = 10

// Check is the outcome of one check.
type Check struct {
	// Name is for programs.
	Name string `json:"name"`
	// Rule is what must hold.
	Rule string `json:"rule"`
	// Checked counts what was checked, Wrong what breaks the rule.
	Checked int64 `json:"looked"`
	Wrong   int64 `json:"wrong"`
	// Examples are the IDs of some that are wrong.
	Examples []string `json:"examples,omitempty"`
	// Warning reports whether Wrong is only a warning: no invariant is broken.
	Warning bool `json:"warning,omitempty"`
	// Note is a remark for the reader; it may be empty.
	Note string `json:"note,omitempty"`
}

// Violated reports whether an invariant is broken.
func (c Check) Violated() bool { return c.Wrong > 0 && !c.Warning }

// Sources are the databases and streams to check.
type Sources struct {
	// Order, Payment, Product and Voucher are the databases that are checked against each other.
	Order, Payment, Product, Voucher *pgxpool.Pool
	// Comment is the database with the reviews, which the catalogue in Product shows; nil skips their check.
	Comment *pgxpool.Pool
	// Sagas and Outboxes are the databases with sagas, and with an outbox, by service.
	Sagas, Outboxes map[string]*pgxpool.Pool
	// Own are the services whose own invariants are checked; Pools are their databases.
	Own   []module.Module
	Pools map[string]*pgxpool.Pool
	// JetStream holds the dead letters; nil skips their check.
	JetStream jetstream.JetStream
	// RecheckDelay is how long Run waits before it checks suspects again. 0 means 2 s.
	RecheckDelay time.Duration
}

//go:embed oversold.sql
var sqlOversold string

//go:embed reserved.sql
var sqlReserved string

//go:embed totals.sql
var sqlTotals string

//go:embed sagas.sql
var sqlSagas string

//go:embed outbox.sql
var sqlOutbox string

// within is a check that needs one database only.
type within struct {
	name, rule, service string
	sql                 string
	pool                *pgxpool.Pool
}

// Report is the outcome of all checks.
type Report struct {
	Checks []Check
	// LostOrders are the IDs of orders that the order service does not know, and for which another service keeps money,
	// stock or vouchers, sorted. They are among what the checks over several databases count as wrong.
	LostOrders []string
}

// Broken returns how many invariants are broken.
func (r Report) Broken() int {
	n := 0
	for _, c := range r.Checks {
		if c.Violated() {
			n++
		}
	}
	return n
}

// Run runs all checks.
//
// Errors: those of postgres.Err.
func Run(ctx context.Context, s Sources) (Report, error) {
	if s.RecheckDelay == 0 {
		s.RecheckDelay = 2 * time.Second
	}
	var out Report
	for _, w := range s.within() {
		c, err := w.run(ctx)
		if err != nil {
			return out, err
		}
		out.Checks = append(out.Checks, c)
	}
	across, lost, err := s.across(ctx)
	if err != nil {
		return out, err
	}
	out.Checks, out.LostOrders = append(out.Checks, across...), lost
	if s.Comment != nil {
		ratings, err := s.ratings(ctx)
		if err != nil {
			return out, err
		}
		out.Checks = append(out.Checks, ratings)
	}
	own, err := s.own(ctx)
	if err != nil {
		return out, err
	}
	out.Checks = append(out.Checks, own...)
	if s.JetStream != nil {
		out.Checks = append(out.Checks, s.deadLetters(ctx))
	}
	return out, nil
}

func (s Sources) within() []within {
	list := []within{
		{"stock_not_oversold", "stock is never oversold: 0 <= reserved <= on hand", "product", sqlOversold, s.Product},
		{
			"stock_reserved",
			"what is reserved of a variant is what its held reservations say",
			"product",
			sqlReserved,
			s.Product,
		},
		{"order_totals", "an order's total is that of its parts, and that of its lines", "order", sqlTotals, s.Order},
	}
	for _, service := range sorted(s.Sagas) {
		list = append(list, within{
			"sagas_" + service, "no saga of " + service + " is stuck or parked", service, sqlSagas, s.Sagas[service],
		})
	}
	for _, service := range sorted(s.Outboxes) {
		list = append(list, within{
			"outbox_" + service, "no event of " + service + " waits to be sent for more than 30 s",
			service, sqlOutbox, s.Outboxes[service],
		})
	}
	return list
}

func (w within) run(ctx context.Context) (Check, error) {
	c := Check{Name: w.name, Rule: w.rule}
	err := snapshot(ctx, w.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, w.sql, shown).Scan(&c.Checked, &c.Wrong, &c.Examples)
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w", w.service, err)
	}
	return c, nil
}

// own runs the services' own checks. It runs a check that found something wrong again after RecheckDelay.
func (s Sources) own(ctx context.Context) ([]Check, error) {
	var out []Check
	for _, m := range s.Own {
		findings, err := m.Verify(ctx, s.Pools[m.Name])
		if err == nil && slices.ContainsFunc(findings, func(f module.Finding) bool { return f.Wrong > 0 }) {
			if err := wait(ctx, s.RecheckDelay); err != nil {
				return out, err
			}
			findings, err = m.Verify(ctx, s.Pools[m.Name])
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", m.Name, err)
		}
		for _, f := range findings {
			c := Check{Name: nameOf(m.Name + " " + f.Check), Rule: f.Check, Checked: f.Count, Wrong: f.Wrong}
			if f.Example != "" {
				c.Examples = []string{f.Example}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// nameOf returns a check's name that is made of its rule.
func nameOf(rule string) string {
	words := strings.FieldsFunc(strings.ToLower(rule),
		func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_")
}

func (s Sources) deadLetters(ctx context.Context) Check {
	c := Check{Name: "dead_letters", Rule: "no event was given up by a consumer (souk events dlq list)", Warning: true}
	letters, err := outbox.ListDead(ctx, s.JetStream, 1000)
	if err != nil {
		c.Note = "not looked at: JetStream does not answer"
		return c
	}
	c.Checked, c.Wrong = int64(len(letters)), int64(len(letters))
	for _, l := range letters[:min(len(letters), shown)] {
		c.Examples = append(c.Examples, fmt.Sprintf("%d %s %s", l.Seq, l.Consumer, l.EventID))
	}
	return c
}

// snapshot runs f in a read-only transaction that sees one snapshot. Errors: those of postgres.Err.
func snapshot(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return postgres.Err(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	if err := f(tx); err != nil {
		return postgres.Err(err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
