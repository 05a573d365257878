package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"souk/pkg/id"
)

const (
	limitConns = 32
	warmUps    = 100  // checkouts that are not counted
	maxCarts   = 8000 // most carts that are prepared for one row
	maxRate    = 1500 // checkouts per second that carts are prepared for: more than souk reaches

	lateEventWait = 2 * time.Second
)

// checkout returns the checkout request of a guest's cart, with the code of a voucher unless that is "". Each has its
// own e-mail address and key: mails to one address are bounded.
func checkout(addr, token, code string) []byte {
	key := id.New(id.Event)
	vouchers := ""
	if code != "" {
		vouchers = `"voucherCodes":["` + code + `"],`
	}
	body := `{` + vouchers + `"email":"` + key + `@example.com",` +
		`"shippingAddress":{"name":"Ana Souza","line1":"Rua das Flores 12",` +
		`"city":"São Paulo","region":"SP","postalCode":"01001-000","countryCode":"BR"},` +
		`"payment":{"method":"card","token":"tok_ok"}}`
	return request(addr, http.MethodPost, "/v1/checkout", token, body, "Idempotency-Key", key)
}

// guests creates n guests and returns their tokens.
func (b *bench) guests(ctx context.Context, n int) ([]string, error) {
	tokens := make([]string, n)
	begin := request(b.souk.addr, http.MethodPost, "/v1/guest", "", "{}")
	err := b.all(ctx, n, func(int) []byte { return begin }, func(n int, body []byte) error {
		var g struct{ Token string }
		err := json.Unmarshal(body, &g)
		tokens[n] = g.Token
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("guests: %w", err)
	}
	return tokens, nil
}

// all sends n requests. It fails if one of them fails.
func (b *bench) all(ctx context.Context, n int, next func(int) []byte, answered func(n int, body []byte) error) error {
	var mu sync.Mutex
	var failure error
	s, err := load{
		addr: b.souk.addr, conns: 32,
		next: func(i int) []byte {
			if i >= n {
				return nil
			}
			return next(i)
		},
		answer: func(i, status int, body []byte) {
			if status < 200 || status > 299 || answered == nil {
				return
			}
			if err := answered(i, body); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failure = err
			}
		},
	}.run(ctx)
	if err == nil && s.failures() > 0 {
		err = errors.New(s.failureNote())
	}
	return errors.Join(err, failure)
}

func addItem(addr, token, variant string) []byte {
	return request(addr, http.MethodPost, "/v1/cart/items", token, `{"variantId":"`+variant+`","quantity":1}`)
}

// measureCart adds one piece to the carts of 64 guests, 16 at once. The carts grow to 5 lines.
func measureCart(ctx context.Context, b *bench) ([]row, error) {
	const conns = 16
	tokens, err := b.guests(ctx, 64)
	if err != nil {
		return nil, err
	}
	a, err := capture(ctx, http.MethodPost, b.souk.url+"/v1/cart/items", tokens[0],
		`{"variantId":"`+b.catalogue.variants[0][0]+`","quantity":1}`)
	if err != nil {
		return nil, err
	}
	const lines = 5
	requests := make([][]byte, 0, len(tokens)*lines)
	for l := range lines {
		for t, token := range tokens {
			requests = append(requests,
				addItem(b.souk.addr, token, b.catalogue.variants[(t+l)%benchShops][(t*7+l)%shopProducts]))
		}
	}
	r, err := b.compareWithBare(ctx, "cart", a, b.duration, func(addr string, d time.Duration) (stats, error) {
		return load{
			addr:     addr,
			conns:    conns,
			duration: d,
			next:     func(n int) []byte { return requests[n%len(requests)] },
		}.run(ctx)
	})
	r.Name = "add to cart, 16 at once"
	if !b.souk.split {
		r.Required = 0.12
	}
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d carts of %d lines", len(tokens), lines)
	}
	return []row{r}, err
}

// spread picks variants of two different shops out of the 1,000 variants.
func (b *bench) spread(n int) []string {
	first := n % benchShops
	second := (first + 1 + (n/benchShops)%(benchShops-1)) % benchShops
	r := rand.New(rand.NewPCG(uint64(n), 3)) //nolint:gosec // reproducible on purpose
	return []string{
		b.catalogue.variants[first][r.IntN(shopProducts)],
		b.catalogue.variants[second][r.IntN(shopProducts)],
	}
}

func (b *bench) hottest(int) []string { return []string{b.catalogue.hot} }

// fill fills the carts of n guests and returns their checkout requests.
func (b *bench) fill(ctx context.Context, n int, pick func(int) []string, code string) ([][]byte, error) {
	tokens, err := b.guests(ctx, n)
	if err != nil {
		return nil, err
	}
	each := len(pick(0))
	err = b.all(ctx, n*each,
		func(i int) []byte { return addItem(b.souk.addr, tokens[i/each], pick(i / each)[i%each]) }, nil)
	if err != nil {
		return nil, fmt.Errorf("fill carts: %w", err)
	}
	requests := make([][]byte, n)
	for i, token := range tokens {
		requests[i] = checkout(b.souk.addr, token, code)
	}
	return requests, nil
}

// inOrder returns a next function that returns the requests in their order.
func inOrder(requests [][]byte) func(int) []byte {
	return func(n int) []byte {
		if n >= len(requests) {
			return nil
		}
		return requests[n]
	}
}

// checkoutRun measures POST /v1/checkout of carts that it has filled before.
func (b *bench) checkoutRun(
	ctx context.Context, file string, conns int, pick func(int) []string, code string,
) (stats, time.Duration, error) {
	n := min(maxCarts, int(b.duration.Seconds()*maxRate))
	requests, err := b.fill(ctx, warmUps+n, pick, code)
	if err != nil {
		return stats{}, 0, err
	}
	if _, err := (load{addr: b.souk.addr, conns: conns, next: inOrder(requests[:warmUps])}).run(ctx); err != nil {
		return stats{}, 0, err
	}
	if err := b.awaitIdle(ctx); err != nil {
		return stats{}, 0, err
	}
	before, err := b.effort(ctx)
	if err != nil {
		return stats{}, 0, err
	}
	l := load{addr: b.souk.addr, conns: conns, duration: b.duration, next: inOrder(requests[warmUps:])}
	s, err := b.watch(ctx, file, b.duration, func() (stats, error) { return l.run(ctx) })
	if err != nil {
		return s, 0, err
	}
	sagasEnded, err := b.awaitSagas(ctx)
	if err != nil {
		return s, 0, err
	}
	after, err := b.effort(ctx)
	s.effort = effort{transactions: after.transactions - before.transactions, syncs: after.syncs - before.syncs}
	return s, sagasEnded, err
}

// measureCheckout measures complete checkouts of two shops' items. The limit is durable one-row updates.
func measureCheckout(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, conns := range []int{16, 64} {
		if err := b.awaitIdle(ctx); err != nil {
			return rows, err
		}
		limit, err := b.updates(ctx, 1000, limitConns, b.duration)
		if err != nil {
			return rows, err
		}
		s, sagasEnded, err := b.checkoutRun(ctx, fmt.Sprintf("checkout-%d", conns), conns, b.spread, "")
		if err != nil {
			return rows, err
		}
		name := fmt.Sprintf("checkout, two shops, 1,000 variants, %d at once", conns)
		rows = append(rows, b.checkoutRow(name, s, sagasEnded, limit, 0.05, "durable updates, 1,000 rows"))
		if conns == 16 {
			p99 := row{Name: "checkout, two shops, 16 at once: p99", Value: ms(s.p99), Unit: "ms"}
			if !b.souk.split {
				p99.AtMost = 100
			}
			rows = append(rows, p99)
		}
	}
	return append(rows, b.verify(ctx, "the checkouts")), nil
}

func measureHotCheckout(ctx context.Context, b *bench) ([]row, error) {
	limit, err := b.updates(ctx, 1, limitConns, b.duration)
	if err != nil {
		return nil, err
	}
	s, sagasEnded, err := b.checkoutRun(ctx, "hot", 16, b.hottest, "")
	if err != nil {
		return nil, err
	}
	return []row{
		b.checkoutRow("checkout, one hot variant, 16 at once", s, sagasEnded, limit, 0.15, "durable updates, one row"),
		b.verify(ctx, "the hot variant"),
	}, nil
}

// checkoutRow makes the row of a checkoutRun. sagasEnded is the time from the last answer to the end of all sagas.
func (b *bench) checkoutRow(
	name string, s stats, sagasEnded time.Duration, limit stats, required float64, limitName string,
) row {
	r := row{
		Name:        name,
		Value:       s.rate(),
		Unit:        "/s",
		P50:         ms(s.p50),
		P99:         ms(s.p99),
		SoukCPU:     s.soukCPU(),
		DatabaseCPU: s.databaseCPU(),
		Limit:       limit.rate(),
		LimitName:   limitName,
		Required:    required,
		Errors:      s.failures(),
		Note:        s.failureNote(),
	}
	if b.souk.split {
		r.Required = 0
	}
	if r.Note == "" {
		n := float64(max(1, s.done))
		r.Note = fmt.Sprintf(
			"%d orders; all sagas ended %s s after the last answer; %s transactions and %s syncs of the log each",
			s.done, number(sagasEnded.Seconds()), number(float64(s.effort.transactions)/n),
			number(float64(s.effort.syncs)/n),
		)
	}
	return r
}

// measureEvents sends checkouts at a steady rate, which append events. It then reads from the databases how
// long each event took from its transaction to the consumer's.
func measureEvents(ctx context.Context, b *bench) ([]row, error) {
	const trial = 20
	outboxes, err := b.servicesWith(ctx, "outbox")
	if err != nil {
		return nil, err
	}
	per, err := b.eventsPerCheckout(ctx, outboxes, trial)
	if err != nil {
		return nil, err
	}
	rate := b.eventRate / per
	n := int(rate * b.duration.Seconds() * 2)
	requests, err := b.fill(ctx, n, b.spread, "")
	if err != nil {
		return nil, err
	}
	from, err := b.now(ctx)
	if err != nil {
		return nil, err
	}
	l := load{addr: b.souk.addr, conns: 16, rate: rate, next: inOrder(requests)}
	s, err := b.watch(ctx, "events", 2*b.duration, func() (stats, error) { return l.run(ctx) })
	if err != nil {
		return nil, err
	}
	to, err := b.now(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := b.awaitSagas(ctx); err != nil {
		return nil, err
	}
	select { // wait for late events, which count too
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(lateEventWait):
	}
	took, events, err := b.delays(ctx, outboxes, from, to)
	if err != nil {
		return nil, err
	}
	var all []time.Duration
	slowest, worst := "", time.Duration(0)
	for consumer, t := range took {
		slices.Sort(t)
		if p := quantile(t, 0.99); p > worst {
			slowest, worst = consumer, p
		}
		all = append(all, t...)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return nil, errors.New("no consumer handled an event")
	}
	r := row{
		Name:   "events, from commit to effect, p99",
		Value:  ms(quantile(all, 0.99)),
		Unit:   "ms",
		P50:    ms(quantile(all, 0.5)),
		P99:    ms(quantile(all, 0.99)),
		AtMost: 100,
		Errors: s.failures(),
		Note:   s.failureNote(),
	}
	if r.Note == "" {
		r.Note = fmt.Sprintf("%s events/s (%s per checkout), %d handled by %d consumers; slowest %s, p99 %s ms",
			number(float64(events)/to.Sub(from).Seconds()), number(per), len(all), len(took), slowest,
			millis(ms(worst)))
	}
	return []row{r}, nil
}

func (b *bench) eventsPerCheckout(ctx context.Context, outboxes []string, trial int) (float64, error) {
	requests, err := b.fill(ctx, trial, b.spread, "")
	if err != nil {
		return 0, err
	}
	before, err := b.countEvents(ctx, outboxes)
	if err != nil {
		return 0, err
	}
	s, err := load{addr: b.souk.addr, conns: 4, next: inOrder(requests)}.run(ctx)
	if err == nil && s.failures() > 0 {
		err = errors.New(s.failureNote())
	}
	if err != nil {
		return 0, err
	}
	if _, err := b.awaitSagas(ctx); err != nil {
		return 0, err
	}
	after, err := b.countEvents(ctx, outboxes)
	if err == nil && after == before {
		err = errors.New("checkouts made no events")
	}
	return float64(after-before) / float64(trial), err
}

func (b *bench) countEvents(ctx context.Context, outboxes []string) (int, error) {
	sum := 0
	for _, service := range outboxes {
		var n int
		if err := b.query(
			ctx, service, "select count(*) from outbox", func(scan func(...any) error) error { return scan(&n) },
		); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// delays returns the times between an event's row in the outbox and its row in a consumer's inbox, by
// consumer. It also returns the number of events.
func (b *bench) delays(
	ctx context.Context, outboxes []string, from, to time.Time,
) (map[string][]time.Duration, int, error) {
	created := map[string]time.Time{}
	for _, service := range outboxes {
		err := b.query(
			ctx,
			service,
			"select id, created_at from outbox where created_at between $1 and $2",
			func(scan func(...any) error) error {
				var event string
				var at time.Time
				err := scan(&event, &at)
				created[event] = at
				return err
			},
			from,
			to,
		)
		if err != nil {
			return nil, 0, err
		}
	}
	inboxes, err := b.servicesWith(ctx, "inbox")
	if err != nil {
		return nil, 0, err
	}
	took := map[string][]time.Duration{}
	for _, service := range inboxes {
		err := b.query(
			ctx,
			service,
			"select consumer, event_id, processed_at from inbox where processed_at >= $1",
			func(scan func(...any) error) error {
				var consumer, event string
				var at time.Time
				err := scan(&consumer, &event, &at)
				if began, ok := created[event]; ok {
					took[service+"/"+consumer] = append(took[service+"/"+consumer], at.Sub(began))
				}
				return err
			},
			from,
		)
		if err != nil {
			return nil, 0, err
		}
	}
	return took, len(created), nil
}
