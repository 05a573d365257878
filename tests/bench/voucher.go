package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"souk/pkg/id"
)

const (
	quotedLines    = 20
	quotedVouchers = 5
)

// measureVouchers measures quotes of carts with 20 lines and 5 vouchers, and checkouts of three shops' items with a
// voucher.
func measureVouchers(ctx context.Context, b *bench) ([]row, error) {
	const conns = 16
	codes, err := b.createVouchers(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := b.guests(ctx, conns)
	if err != nil {
		return nil, err
	}
	err = b.all(ctx, conns*quotedLines, func(i int) []byte {
		line := i % quotedLines
		return addItem(b.souk.addr, tokens[i/quotedLines], b.catalogue.variants[line%benchShops][i%shopProducts])
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("fill carts: %w", err)
	}
	body := `{"voucherCodes":["` + strings.Join(codes, `","`) + `"]}`
	requests := make([][]byte, conns)
	for i, token := range tokens {
		requests[i] = request(b.souk.addr, http.MethodPost, "/v1/cart:quote", token, body)
	}
	l := load{
		addr: b.souk.addr, conns: conns, duration: b.duration,
		next: func(n int) []byte { return requests[n%conns] },
	}
	quotes, err := b.watch(ctx, "quote", b.duration, func() (stats, error) { return l.run(ctx) })
	if err != nil {
		return nil, err
	}
	rows := []row{b.plainRow(
		fmt.Sprintf("quote of %d lines with %d vouchers, %d at once", quotedLines, quotedVouchers, conns), quotes,
	)}
	if err := b.awaitIdle(ctx); err != nil {
		return rows, err
	}
	threeShops := func(n int) []string {
		two := b.spread(n)
		third := (n%benchShops + benchShops/2) % benchShops
		return append(two, b.catalogue.variants[third][n/benchShops%shopProducts])
	}
	checkouts, sagasEnded, err := b.checkoutRun(ctx, "checkout-voucher", conns, threeShops, codes[0])
	if err != nil {
		return rows, err
	}
	r := b.plainRow(fmt.Sprintf("checkout with a voucher, three shops, %d at once", conns), checkouts)
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d orders; all sagas ended %s s after the last answer", checkouts.done,
			number(sagasEnded.Seconds()))
	}
	return append(rows, r, b.verify(ctx, "the vouchers")), nil
}

// createVouchers creates vouchers of the marketplace that can be combined, and returns their codes.
func (b *bench) createVouchers(ctx context.Context) ([]string, error) {
	out, err := b.souk.command(ctx, "token", "--email", "bench@example.com", "--role", "operator").Output()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(out))
	codes := make([]string, quotedVouchers)
	for i := range codes {
		codes[i] = "BENCH-" + strings.ToUpper(id.New(id.Voucher)[20:])
	}
	err = b.all(ctx, quotedVouchers, func(i int) []byte {
		body := fmt.Sprintf(`{"code":"%s","title":"Benchmark","kind":"percent","percent":"%d","stackable":true}`,
			codes[i], i+1)
		return request(b.souk.addr, http.MethodPost, "/v1/operator/vouchers", token, body)
	}, nil)
	return codes, err
}

// plainRow makes the row of a load that is compared with nothing.
func (b *bench) plainRow(name string, s stats) row {
	return row{
		Name: name, Value: s.rate(), Unit: "/s", P50: ms(s.p50), P99: ms(s.p99),
		SoukCPU: s.soukCPU(), DatabaseCPU: s.databaseCPU(), Errors: s.failures(), Note: s.failureNote(),
	}
}
