package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"souk/pkg/id"
)

const (
	reviewers    = 40 // customers, each with one order
	reviewShops  = 2  // whose products they all buy
	reviewConns  = 16
	reviewedText = "It came two days early and fits well. The colour is that of the picture, and it washes well. "
)

// measureReviews measures how customers review what they have bought, and then lists of these reviews in every order.
// The rating of a product follows each review in the background.
func measureReviews(ctx context.Context, b *bench) ([]row, error) {
	var products, variants []string
	for s := range reviewShops {
		products = append(products, b.catalogue.products[s]...)
		variants = append(variants, b.catalogue.variants[s]...)
	}
	customers, err := b.buyers(ctx, reviewers, variants)
	if err != nil {
		return nil, err
	}
	if err := b.awaitIdle(ctx); err != nil {
		return nil, err
	}
	posts := make([][]byte, 0, len(products)*len(customers))
	for _, product := range products {
		for _, token := range customers {
			n := len(posts)
			posts = append(posts, request(b.souk.addr, http.MethodPost, "/v1/products/"+product+"/reviews", token,
				fmt.Sprintf(`{"rating":%d,"title":"Number %d","text":"%s %d"}`, 1+n%5, n, reviewedText, n)))
		}
	}
	list := func(n int) []byte {
		sort := []string{"newest", "helpful", "rating_desc", "rating_asc"}[n%4]
		// The page's size varies, so that the response cache has no answer.
		path := fmt.Sprintf("/v1/products/%s/reviews?sort=%s&pageSize=%d", products[n/4%len(products)], sort,
			11+n/4/len(products)%20)
		return request(b.souk.addr, http.MethodGet, path, "", "")
	}
	var rows []row
	for _, l := range []struct {
		file, name string
		work       load
	}{
		{"review-post", "review what was bought", load{next: inOrder(posts)}},
		{"review-list", "list of 11 to 30 reviews, not cached", load{next: list}},
	} {
		work := l.work
		work.addr, work.conns, work.duration = b.souk.addr, reviewConns, b.duration
		s, err := b.watch(ctx, l.file, b.duration, func() (stats, error) { return work.run(ctx) })
		if err != nil {
			return rows, err
		}
		r := row{
			Name: fmt.Sprintf("%s, %d at once", l.name, reviewConns), Value: s.rate(), Unit: "/s",
			P50: ms(s.p50), P99: ms(s.p99), SoukCPU: s.soukCPU(), DatabaseCPU: s.databaseCPU(),
			Errors: s.failures(), Note: s.failureNote(),
		}
		if r.Note == "" {
			r.Note = fmt.Sprintf("%d requests", s.done)
		}
		rows = append(rows, r)
		if err := b.awaitIdle(ctx); err != nil {
			return rows, err
		}
	}
	return append(rows, b.verify(ctx, "the reviews")), nil
}

// buyers returns the tokens of n new customers who have bought one piece of each variant.
func (b *bench) buyers(ctx context.Context, n int, variants []string) ([]string, error) {
	tokens := make([]string, n)
	orders := make([][]byte, n)
	for i := range tokens {
		out, err := b.souk.command(ctx, "token", "--email", id.New("reviewer")+"@example.com").Output()
		if err != nil {
			return nil, fmt.Errorf("souk token: %w", err)
		}
		tokens[i] = strings.TrimSpace(string(out))
		orders[i] = checkout(b.souk.addr, tokens[i], "")
	}
	add := func(i int) []byte {
		return addItem(b.souk.addr, tokens[i/len(variants)], variants[i%len(variants)])
	}
	err := b.all(ctx, n*len(variants), add, nil)
	if err == nil {
		err = b.all(ctx, n, inOrder(orders), nil)
	}
	if err != nil {
		return nil, fmt.Errorf("buyers: %w", err)
	}
	_, err = b.awaitSagas(ctx)
	return tokens, err
}
