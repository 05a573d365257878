package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	settleTime = 8 * time.Second // after a load: mails are held for 3 s, and what is new is cleaned up
	mostTables = 40              // that are listed
	smallest   = 0.003           // share of the processor time below which a part is not listed
)

// cost measures what souk uses for browsing and for buying: processor time by part, PostgreSQL's log and disk, what
// remains in each database. What souk uses without any load is measured first, and is not counted.
func (p *phases) cost(ctx context.Context) error {
	if err := p.crowd(rampThink, p.customer).run(ctx, steady(p.costRate, p.costTime/4), 500); err != nil {
		return err
	}
	idle, err := p.idle(ctx)
	if err != nil {
		return err
	}

	visits := p.crowd(rampThink, func(ctx context.Context, v *visitor) { v.browse(ctx) })
	browsing, err := p.measure(ctx, idle, func() error {
		return visits.run(ctx, steady(p.browseRate, p.costTime), 501)
	})
	if err != nil {
		return err
	}
	r := p.client.recorder.take()
	p.report.table(fmt.Sprintf("browsing, %.0f visits/s", p.browseRate), r, nil)
	p.report.step("for a browse request:")
	browsing.print(p.report, 1/float64(r.all().latency.TotalCount()), false)

	// Few customers at a time share fewer transactions and wakes of the background work than many.
	if err := p.buy(ctx, p.costRate/4, p.costTime, idle, false); err != nil {
		return err
	}
	if err := p.buy(ctx, p.costRate, 2*p.costTime, idle, true); err != nil {
		return err
	}
	return p.connections(ctx)
}

// idle measures and reports what souk uses without any load.
func (p *phases) idle(ctx context.Context) (*used, error) {
	p.client.recorder.take()
	wait(ctx, settleTime)
	idle, err := p.measure(ctx, nil, func() error {
		wait(ctx, settleTime)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	p.report.step("without any load, for a second:")
	idle.print(p.report, 1/idle.seconds, false)
	return idle, nil
}

// buy measures purchases at a rate.
func (p *phases) buy(ctx context.Context, rate float64, d time.Duration, idle *used, tables bool) error {
	before := p.orders.len()
	buyers := p.crowd(rampThink, func(ctx context.Context, v *visitor) { p.purchase(ctx, v) })
	buying, err := p.measure(ctx, idle, func() error { return buyers.run(ctx, steady(rate, d), 502) })
	if err != nil {
		return err
	}
	r := p.client.recorder.take()
	orders := p.orders.len() - before
	p.report.table(fmt.Sprintf("buying, %.0f customers/s, %d orders", rate, orders), r, nil)
	if orders == 0 {
		return errors.New("nothing was sold")
	}
	p.report.step("for a purchase of two pieces of two shops, from the guest's token to the order, and its mails:")
	buying.print(p.report, 1/float64(orders), tables)
	return nil
}

// connections reports how many connections to each database there are now.
func (p *phases) connections(ctx context.Context) error {
	found, err := p.souk.connections(ctx)
	if err != nil {
		return err
	}
	var text []string
	sum := 0
	for _, database := range slices.Sorted(maps.Keys(found)) {
		text = append(text, fmt.Sprintf("%s %d", database, found[database]))
		sum += found[database]
	}
	p.report.step("%d connections to PostgreSQL: %s", sum, strings.Join(text, ", "))
	return nil
}

// replicas compares souk with one process of each service with souk with two, under the same load, in turns.
func (p *phases) replicas(ctx context.Context, rounds int) error {
	children, err := p.souk.children(ctx)
	if err != nil {
		return err
	}
	measure := func(processes string, seed uint64) error {
		if err := p.crowd(rampThink, p.customer).run(ctx, steady(p.costRate, p.costTime/4), seed); err != nil {
			return err
		}
		idle, err := p.idle(ctx)
		if err != nil {
			return err
		}
		c := p.crowd(rampThink, p.customer)
		before := p.orders.len()
		used, err := p.measure(ctx, idle, func() error { return c.run(ctx, steady(p.costRate, p.costTime), seed+1) })
		if err != nil {
			return err
		}
		r := p.client.recorder.take()
		p.report.table(
			fmt.Sprintf("%s of each service, %.0f customers/s", processes, p.costRate),
			r,
			nil,
		)
		p.report.step("for a customer, who looks around and buys:")
		used.print(p.report, 1/float64(p.orders.len()-before), false)
		return nil
	}
	for round := range uint64(rounds) {
		if err := measure("one process", 600+10*round); err != nil {
			return err
		}
		for _, c := range children {
			if err := p.souk.join(ctx, c.Name); err != nil {
				return err
			}
		}
		second := p.souk.more[gatewayService].url
		p.client.gateways.add(second)
		if err := measure("two processes", 605+10*round); err != nil {
			return err
		}
		p.client.gateways.remove(second)
		for _, c := range slices.Backward(children) {
			if err := p.souk.leave(c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// used is what souk has used in a time.
type used struct {
	seconds float64
	cpu     map[string]time.Duration // by part
	counts  map[string]float64       // of PostgreSQL, Redis and JetStream
	tables  map[string]float64       // bytes by database and table
}

// measure returns what souk uses while f runs, without what it uses idle; idle may be nil.
func (p *phases) measure(ctx context.Context, idle *used, f func() error) (*used, error) {
	before, err := p.souk.usage(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return nil, err
	}
	if !wait(ctx, settleTime) {
		return nil, ctx.Err()
	}
	after, err := p.souk.usage(ctx)
	if err != nil {
		return nil, err
	}
	u := &used{
		seconds: time.Since(began).Seconds(), cpu: after.cpu,
		counts: minus(after.counts, before.counts), tables: minus(after.tables, before.tables),
	}
	for part, t := range before.cpu {
		u.cpu[part] -= t
	}
	if idle != nil {
		share := u.seconds / idle.seconds
		for part, t := range idle.cpu {
			u.cpu[part] -= time.Duration(share * float64(t))
		}
		for name, n := range idle.counts {
			u.counts[name] -= share * n
		}
	}
	return u, nil
}

func minus(a, b map[string]float64) map[string]float64 {
	out := maps.Clone(a)
	for name, n := range b {
		out[name] -= n
	}
	return out
}

// print prints what was used, times share, and what remains in the tables.
func (u *used) print(r *report, share float64, tables bool) {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	sums := map[string]time.Duration{}
	line := func(name string, t time.Duration) {
		fmt.Fprintf(w, "%.0f µs\t  %s\t\n", share*float64(t)/float64(time.Microsecond), name)
	}
	total := time.Duration(0)
	for _, t := range u.cpu {
		total += t
	}
	for _, part := range slices.Sorted(maps.Keys(u.cpu)) {
		if float64(u.cpu[part].Abs()) >= smallest*float64(total) {
			line(part, u.cpu[part])
		}
		group, _, _ := strings.Cut(part, "/")
		if group != "postgres" && group != "redis" && group != "nats" {
			group = "souk's services"
		}
		sums[group] += u.cpu[part]
	}
	sums["everything"] = total
	for _, group := range slices.Sorted(maps.Keys(sums)) {
		line("= "+group, sums[group])
	}
	for _, name := range slices.Sorted(maps.Keys(u.counts)) {
		fmt.Fprintf(w, "%.2f\t  %s\t\n", share*u.counts[name], name)
	}
	if tables {
		u.remains(w, share)
	}
	_ = w.Flush() // as with every other line, a terminal that is gone is no error
}

// remains prints the bytes that were added to the databases, and to the tables that grew the most.
func (u *used) remains(w *tabwriter.Writer, share float64) {
	databases := map[string]float64{}
	sum := 0.0
	for table, bytes := range u.tables {
		database, _, _ := strings.Cut(table, ".")
		databases[database] += bytes
		sum += bytes
	}
	for _, database := range slices.Sorted(maps.Keys(databases)) {
		fmt.Fprintf(w, "%.0f bytes\t  in the database %s\t\n", share*databases[database], database)
	}
	fmt.Fprintf(w, "%.0f bytes\t  = in all databases\t\n", share*sum)
	tables := slices.SortedFunc(maps.Keys(u.tables), func(a, b string) int { return int(u.tables[b] - u.tables[a]) })
	for _, table := range tables[:min(len(tables), mostTables)] {
		fmt.Fprintf(w, "%.0f bytes\t  in %s\t\n", share*u.tables[table], table)
	}
}
