package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// times are how long the parts of a run take.
type times struct {
	step        time.Duration // each rate of the measurement of the capacity
	ramp, level time.Duration // of the plan
	browse      time.Duration
	sale        time.Duration
	pause       time.Duration // between the restarts of two services
	think       float64       // factor of the visitors' time between requests
	first       float64       // visitors a second at the first rate of the measurement of the capacity
	growth      float64       // from one rate to the next
	costTime    time.Duration // of the measurements of cost and replicas
	costRate    float64       // customers a second, while cost and replicas are measured
	browseRate  float64       // visits a second, while the cost of browsing is measured
}

// The plan's stages are 2 minutes to 100 users, 5 minutes, 2 minutes to 200 users, 5 minutes.
var (
	full = times{
		step: 8 * time.Second, ramp: 20 * time.Second, level: 60 * time.Second, browse: 20 * time.Second,
		sale: 20 * time.Second, pause: 2 * time.Second, think: 1, first: 6, growth: 1.25,
		costTime: 30 * time.Second, costRate: 16, browseRate: 60,
	}
	short = times{
		step: 4 * time.Second, ramp: 3 * time.Second, level: 6 * time.Second, browse: 5 * time.Second,
		sale: 6 * time.Second, pause: time.Second, think: 0.1, first: 6, growth: 1.5,
		costTime: 8 * time.Second, costRate: 6, browseRate: 20,
	}
)

const (
	rampThink      = 0.1 // while the capacity is measured, so that visits end within the step
	mostSteps      = 25
	longestRestart = 15 * time.Minute // of all services
	checkout       = "POST /v1/checkout"
)

// phases is a run on one souk.
type phases struct {
	times
	report    *report
	souk      *souk
	client    *client
	catalogue *catalogue
	orders    *placed
	dir       string
	sales     int
}

// customer looks around and buys pieces from two shops.
func (p *phases) customer(ctx context.Context, v *visitor) {
	v.browse(ctx)
	v.ponder(ctx, 1)
	p.purchase(ctx, v)
}

// purchase buys a piece from each of two shops.
func (p *phases) purchase(ctx context.Context, v *visitor) {
	first := v.rand.IntN(len(v.catalogue.variants))
	second := (first + shopProducts) % len(v.catalogue.variants) // of another shop, whatever the listing's order is
	v.purchase(ctx, []string{v.catalogue.variants[first], v.catalogue.variants[second]}, p.orders)
}

func (p *phases) crowd(think float64, visit func(context.Context, *visitor)) *crowd {
	return &crowd{client: p.client, catalogue: p.catalogue, think: think, visit: visit}
}

// measureCapacity lets more and more customers arrive until an objective is broken. It returns the highest rate that met
// all of them, in customers a second.
func (p *phases) measureCapacity(ctx context.Context) (float64, error) {
	if err := p.crowd(rampThink, p.customer).run(ctx, steady(p.first/2, p.step/2), 1); err != nil {
		return 0, err
	}
	p.client.recorder.take() // connections and caches are warm now
	rate := p.first
	for step := range mostSteps {
		c := p.crowd(rampThink, p.customer)
		if err := c.run(ctx, steady(rate, p.step), uint64(step)+2); err != nil {
			return 0, err
		}
		r := p.client.recorder.take()
		broken := r.broken(objective)
		p.report.step("%.1f customers/s: P50 %s, P95 %s, P99 %s, %d requests, %.2f %% failed", rate,
			millis(r.all().quantile(50)), millis(r.all().quantile(95)), millis(r.all().quantile(99)),
			r.all().latency.TotalCount(), r.all().errors()*100)
		if len(broken) > 0 {
			if step == 0 {
				return 0, fmt.Errorf("%.1f customers/s are too many: %s", rate, strings.Join(broken, "; "))
			}
			return rate / p.growth, nil
		}
		rate *= p.growth
	}
	return rate / p.growth, nil
}

// hold runs the plan, up to a rate, and the function during from the begin of its last level. It ends when both are done.
func (p *phases) hold(ctx context.Context, rate float64, during func(context.Context) error) error {
	plan := []stage{{p.ramp, rate / 2}, {p.level, rate / 2}, {p.ramp, rate}, {p.level, rate}}
	planned := length(plan)
	plan = append(plan, stage{longestRestart, rate})
	c := p.crowd(p.think, p.customer)
	enough, other := make(chan struct{}), make(chan error, 1)
	c.enough = enough
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(enough)
		planEnds := time.After(planned)
		if !wait(ctx, planned-p.level) { // until the last level begins
			other <- ctx.Err()
			return
		}
		other <- during(ctx)
		select {
		case <-planEnds:
		case <-ctx.Done():
		}
	}()
	if err := errors.Join(c.run(ctx, plan, 100), <-other); err != nil {
		return err
	}
	r := p.client.recorder.take()
	p.report.table(fmt.Sprintf("plan: up to %.1f customers/s, at most %d there at once", rate, c.most.Load()), r,
		r.broken(objective, checkout))
	return nil
}

// browse lets visitors look around at a steady rate.
func (p *phases) browse(ctx context.Context, rate float64, d time.Duration) error {
	c := p.crowd(p.think, func(ctx context.Context, v *visitor) { v.browse(ctx) })
	if err := c.run(ctx, steady(rate, d), 200); err != nil {
		return err
	}
	r := p.client.recorder.take()
	p.report.table(fmt.Sprintf("browse: %.1f visitors/s", rate), r, r.broken(objective))
	return nil
}

// flash sells one product with fewer pieces than buyers, who come at a rate.
func (p *phases) flash(ctx context.Context, rate float64) error {
	p.sales++
	handle := fmt.Sprintf("flash-%d", p.sales)
	plan := []stage{{p.sale / 8, rate}, {p.sale * 6 / 8, rate}, {p.sale / 8, 1}}
	buyers := 0
	for range arrivals(plan, 300) {
		buyers++
	}
	pieces := buyers * 6 / 10
	file := filepath.Join(p.dir, handle+".csv")
	if err := writeSale(file, handle, pieces); err != nil {
		return err
	}
	if _, err := p.souk.command(ctx, "import", "products", file, "--create-shops"); err != nil {
		return err
	}
	variant, err := p.awaitProduct(ctx, "/v1/products/by-handle/load-flash/"+handle)
	if err != nil {
		return err
	}
	refusals := []int{http.StatusConflict}
	orders := newPlaced()
	c := p.crowd(
		p.think,
		func(ctx context.Context, v *visitor) { v.purchase(ctx, []string{variant}, orders, refusals...) },
	)
	if err := c.run(ctx, plan, 300); err != nil {
		return err
	}
	r := p.client.recorder.take()
	broken := r.broken(objective)
	sold, err := p.souk.sold(ctx, variant)
	if err != nil {
		return err
	}
	if sold != pieces || orders.len() != pieces {
		broken = append(
			broken,
			fmt.Sprintf("%d pieces, but %d orders, %d of them acknowledged", pieces, sold, orders.len()),
		)
	}
	for order, email := range orders.orders {
		p.orders.add(order, email)
	}
	p.report.table(
		fmt.Sprintf("flash sale: %d buyers in %s, %d pieces, %d orders", buyers, p.sale, pieces, sold),
		r,
		broken,
	)
	return nil
}

func (p *phases) awaitProduct(ctx context.Context, path string) (variant string, err error) {
	for began := time.Now(); time.Since(began) < listingWait; {
		var one product
		ok := p.client.send(ctx, time.Now(), request{
			method: http.MethodGet, path: path, accept: []int{http.StatusNotFound},
		}, &one)
		p.client.recorder.take()
		if ok && len(one.Variants) == 1 {
			return one.Variants[0].ID, nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return "", ctx.Err()
		}
	}
	return "", errors.New("the product on sale is not listed")
}

// soak runs a moderate load for a long time, and reports the memory of souk's processes at its begin and its end.
func (p *phases) soak(ctx context.Context, rate float64, d time.Duration) error {
	c := p.crowd(p.think, p.customer)
	if err := c.run(ctx, steady(rate, d/10), 400); err != nil {
		return err
	}
	before, err := p.souk.memory(ctx)
	if err != nil {
		return err
	}
	if err := c.run(ctx, steady(rate, d*9/10), 401); err != nil {
		return err
	}
	after, err := p.souk.memory(ctx)
	if err != nil {
		return err
	}
	r := p.client.recorder.take()
	broken := r.broken(objective, checkout)
	if after > before*13/10+64<<20 {
		broken = append(broken, fmt.Sprintf("memory grew from %d to %d MB", before>>20, after>>20))
	}
	p.report.table(
		fmt.Sprintf("soak: %.1f customers/s for %s; souk's memory %d MB after a tenth of it, %d MB at the end", rate, d,
			before>>20, after>>20),
		r,
		broken,
	)
	return nil
}
