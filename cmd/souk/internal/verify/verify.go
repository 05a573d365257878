// Package verify checks what must hold over all of souk's databases: stock, orders, payments, sagas, events.
//
// It only reads. Each database is read in one snapshot, but the snapshots of several are not of one moment,
// so what differs between databases is a suspicion. Suspects are looked at again after a while, and count
// when their order stood still meanwhile with no saga at work on it. A system that lives is not reported.
package verify

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

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
	// Looked counts what was looked at, Wrong what breaks the rule.
	Looked int64 `json:"looked"`
	Wrong  int64 `json:"wrong"`
	// Examples are the IDs of some that are wrong.
	Examples []string `json:"examples,omitempty"`
	// Warning: what is wrong is worth a look, but no invariant is broken.
	Warning bool `json:"warning,omitempty"`
	// Note says what else there is to know.
	Note string `json:"note,omitempty"`
}

// Violated reports whether an invariant is broken.
func (c Check) Violated() bool { return c.Wrong > 0 && !c.Warning }

// Finding is what a service's own check has found.
type Finding struct {
	Check   string
	Count   int64
	Wrong   int64
	Example string
}

// Own is a service's own check of its database.
type Own func(ctx context.Context, pool *pgxpool.Pool) ([]Finding, error)

// OwnOf makes an Own of a service's function: each service has a Finding of its own, all alike.
func OwnOf[F ~struct {
	Check   string
	Count   int64
	Wrong   int64
	Example string
}](f func(context.Context, *pgxpool.Pool) ([]F, error)) Own {
	return func(ctx context.Context, pool *pgxpool.Pool) ([]Finding, error) {
		list, err := f(ctx, pool)
		out := make([]Finding, 0, len(list))
		for _, x := range list {
			out = append(out, Finding(x))
		}
		return out, err
	}
}

// Sources are what is checked.
type Sources struct {
	// Order, Payment and Product are the databases that are checked against each other.
	Order, Payment, Product *pgxpool.Pool
	// Sagas and Outboxes are the databases with sagas, and with events to send, by service.
	Sagas, Outboxes map[string]*pgxpool.Pool
	// Own are the services' own checks, by service; Pools their databases.
	Own   map[string]Own
	Pools map[string]*pgxpool.Pool
	// JetStream has the dead letters; nil: they are not looked at.
	JetStream jetstream.JetStream
	// Settle is how long what differs may take to become the same. Default 2 s.
	Settle time.Duration
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

// within are the checks that one database answers alone.
type within struct {
	name, rule, service string
	sql                 string
	pool                *pgxpool.Pool
}

// Run makes all checks. Its errors are those of postgres.Err, and those of the services' own checks.
func Run(ctx context.Context, s Sources) ([]Check, error) {
	if s.Settle == 0 {
		s.Settle = 2 * time.Second
	}
	var out []Check
	for _, w := range s.within() {
		c, err := w.run(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	across, err := s.across(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, across...)
	own, err := s.own(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, own...)
	if s.JetStream != nil {
		out = append(out, s.deadLetters(ctx))
	}
	return out, nil
}

func (s Sources) within() []within {
	list := []within{
		{"stock_not_oversold", "stock is never oversold: 0 <= reserved <= on hand", "product", sqlOversold, s.Product},
		{"stock_reserved", "what is reserved of a variant is what its held reservations say", "product", sqlReserved, s.Product},
		{"order_totals", "an order's total is that of its parts, and that of its lines", "order", sqlTotals, s.Order},
	}
	for _, service := range sorted(s.Sagas) {
		list = append(list, within{"sagas_" + service, "no saga of " + service + " is stuck or parked", service, sqlSagas, s.Sagas[service]})
	}
	for _, service := range sorted(s.Outboxes) {
		list = append(list, within{"outbox_" + service, "no event of " + service + " waits to be sent for more than 30 s", service, sqlOutbox, s.Outboxes[service]})
	}
	return list
}

func (w within) run(ctx context.Context) (Check, error) {
	c := Check{Name: w.name, Rule: w.rule}
	err := snapshot(ctx, w.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, w.sql, shown).Scan(&c.Looked, &c.Wrong, &c.Examples)
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w", w.service, err)
	}
	return c, nil
}

// own runs the services' own checks, and again after a while those that found something.
func (s Sources) own(ctx context.Context) ([]Check, error) {
	var out []Check
	for _, service := range sorted(s.Own) {
		findings, err := s.Own[service](ctx, s.Pools[service])
		if err != nil {
			return out, fmt.Errorf("%s: %w", service, err)
		}
		if anyWrong(findings) {
			if err := wait(ctx, s.Settle); err != nil {
				return out, err
			}
			if findings, err = s.Own[service](ctx, s.Pools[service]); err != nil {
				return out, fmt.Errorf("%s: %w", service, err)
			}
		}
		for _, f := range findings {
			c := Check{Name: nameOf(service + " " + f.Check), Rule: f.Check, Looked: f.Count, Wrong: f.Wrong}
			if f.Example != "" {
				c.Examples = []string{f.Example}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// nameOf makes a name of a rule that has none.
func nameOf(rule string) string {
	words := strings.FieldsFunc(strings.ToLower(rule), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_")
}

func anyWrong(findings []Finding) bool {
	for _, f := range findings {
		if f.Wrong > 0 {
			return true
		}
	}
	return false
}

func (s Sources) deadLetters(ctx context.Context) Check {
	c := Check{Name: "dead_letters", Rule: "no event was given up by a consumer (souk events dlq list)", Warning: true}
	letters, err := outbox.ListDead(ctx, s.JetStream, 1000)
	if err != nil {
		c.Note = "not looked at: JetStream does not answer"
		return c
	}
	c.Looked, c.Wrong = int64(len(letters)), int64(len(letters))
	for _, l := range letters[:min(len(letters), shown)] {
		c.Examples = append(c.Examples, fmt.Sprintf("%d %s %s", l.Seq, l.Consumer, l.EventID))
	}
	return c
}

// snapshot runs f in a transaction that reads one moment, and writes nothing.
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
