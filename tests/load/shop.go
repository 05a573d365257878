package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"souk/pkg/id"
)

const (
	shops        = 20
	shopProducts = 50
	stock        = 900_000 // of each product: it does not run out
	listingWait  = time.Minute
)

var titles = []string{
	"linen shirt", "clay teapot", "trail shoe", "oak table", "wool blanket", "canvas bag", "ceramic bowl", "desk lamp",
}

// catalogue is what visitors look at and buy.
type catalogue struct {
	products, variants []string // IDs
	categories         []string
}

// writeProducts writes the catalogue of tests/load/k6/catalogue.js as a CSV file for souk import.
func writeProducts(path string) error {
	rows := [][]string{}
	for n := range shops * shopProducts {
		rows = append(rows, []string{
			"load-" + strconv.Itoa(n),
			fmt.Sprintf("%s %d", titles[n%len(titles)], n),
			"Load Shop " + strconv.Itoa(
				n/shopProducts,
			),
			"Goods",
			"true",
			"LOAD-" + strconv.Itoa(n),
			strconv.Itoa(stock),
			fmt.Sprintf("%d.90", 5+n%90),
			"active",
		})
	}
	return writeCSV(path, rows)
}

// writeSale writes the product of a flash sale.
func writeSale(path, handle string, pieces int) error {
	return writeCSV(path, [][]string{
		{
			handle,
			"On sale today",
			"Load Flash",
			"Goods",
			"true",
			strings.ToUpper(handle),
			strconv.Itoa(pieces),
			"9.90",
			"active",
		},
	})
}

func writeCSV(path string, rows [][]string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	err = w.WriteAll(append([][]string{{
		"Handle", "Title", "Vendor", "Product Category", "Published", "Variant SKU", "Variant Inventory Qty",
		"Variant Price", "Status",
	}}, rows...))
	return errors.Join(err, f.Close())
}

type product struct {
	ID       string
	Variants []struct{ ID string }
}

// readCatalogue lists the products, once all of them are listed.
func (c *client) readCatalogue(ctx context.Context) (*catalogue, error) {
	for began := time.Now(); time.Since(began) < listingWait; {
		found := &catalogue{}
		pageToken := ""
		for {
			var page struct {
				Products      []product
				NextPageToken string
			}
			query := url.Values{"pageSize": {"100"}, "inStock": {"true"}}
			if pageToken != "" {
				query.Set("pageToken", pageToken)
			}
			if !c.send(
				ctx,
				time.Now(),
				request{method: http.MethodGet, path: "/v1/products?" + query.Encode()},
				&page,
			) {
				return nil, fmt.Errorf(
					"the catalogue can't be read: %s",
					strings.Join(c.recorder.take().failures(), "; "),
				)
			}
			for _, p := range page.Products {
				found.products = append(found.products, p.ID)
				found.variants = append(found.variants, p.Variants[0].ID)
			}
			if pageToken = page.NextPageToken; pageToken == "" {
				break
			}
		}
		if len(found.products) >= shops*shopProducts {
			var list struct{ Categories []struct{ ID string } }
			c.send(ctx, time.Now(), request{method: http.MethodGet, path: "/v1/categories"}, &list)
			for _, category := range list.Categories {
				found.categories = append(found.categories, category.ID)
			}
			c.recorder.take()
			return found, nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("the %d products are not all listed after %s", shops*shopProducts, listingWait)
}

// visitor is somebody in the shop. Each request of a visitor is due when the visitor has thought for a while about the
// answer before; the first one is due when the visitor arrives.
type visitor struct {
	*client
	catalogue *catalogue
	due       time.Time
	think     float64 // factor of the time between requests
	rand      *rand.Rand
}

// ponder waits as a visitor does, from half of the seconds to one and a half.
func (v *visitor) ponder(ctx context.Context, seconds float64) {
	seconds *= (0.5 + v.rand.Float64()) * v.think
	v.due = v.due.Add(time.Duration(seconds * float64(time.Second)))
	wait(ctx, time.Until(v.due))
}

// do sends a request, which is due now.
func (v *visitor) do(ctx context.Context, r request, into any) bool {
	ok := v.send(ctx, v.due, r, into)
	v.due = time.Now()
	return ok
}

func (v *visitor) pick(of []string) string { return of[v.rand.IntN(len(of))] }

// browse looks around: the first page, a search, a category, a product and its reviews.
func (v *visitor) browse(ctx context.Context) {
	get := func(name, path string) { v.do(ctx, request{method: http.MethodGet, name: name, path: path}, nil) }
	get("/v1/products", "/v1/products?pageSize=20")
	v.ponder(ctx, 1)
	word, _, _ := strings.Cut(v.pick(titles), " ")
	get("/v1/products (search)", "/v1/products?pageSize=20&inStock=true&query="+word)
	if len(v.catalogue.categories) > 0 {
		v.ponder(ctx, 1)
		get("/v1/products (category)", "/v1/products?pageSize=20&categoryId="+v.pick(v.catalogue.categories))
	}
	v.ponder(ctx, 1)
	one := v.pick(v.catalogue.products)
	get("/v1/products/{id}", "/v1/products/"+one)
	get("/v1/products/{productId}/reviews", "/v1/products/"+one+"/reviews?pageSize=5")
}

// purchase buys a piece of each variant as a guest: cart, quote, checkout at the price of the quote, and the order. The
// statuses of refusals are no failures. It reports whether there is an order.
func (v *visitor) purchase(ctx context.Context, variants []string, orders *placed, refusals ...int) bool {
	var guest struct{ Token string }
	if !v.do(ctx, request{method: http.MethodPost, path: "/v1/guest", body: struct{}{}}, &guest) {
		return false
	}
	for _, variant := range variants {
		item := map[string]any{"variantId": variant, "quantity": 1}
		if !v.do(ctx, request{
			method: http.MethodPost, path: "/v1/cart/items", token: guest.Token, body: item, accept: refusals,
		}, nil) {
			return false
		}
		v.ponder(ctx, 1)
	}
	v.do(ctx, request{method: http.MethodGet, path: "/v1/cart", token: guest.Token}, nil)
	email := id.New(id.Event) + "@example.com"
	body := map[string]any{"email": email, "shippingAddress": map[string]string{
		"name": "Ana Souza", "line1": "Rua das Flores 12", "city": "São Paulo", "region": "SP",
		"postalCode": "01001-000", "countryCode": "BR",
	}}
	var quote struct{ Total any }
	if !v.do(ctx, request{
		method: http.MethodPost, path: "/v1/cart:quote", token: guest.Token, body: body, accept: refusals,
	}, &quote) {
		return false
	}
	v.ponder(ctx, 2)
	body["payment"] = map[string]string{"method": "card", "token": "tok_ok"}
	body["expectedTotal"] = quote.Total
	var made struct{ Order struct{ ID string } }
	ok := v.do(ctx, request{
		method: http.MethodPost,
		path:   "/v1/checkout",
		token:  guest.Token,
		key:    id.New(id.Event),
		body:   body,
		accept: refusals,
	}, &made)
	if !ok {
		return false
	}
	orders.add(made.Order.ID, email)
	v.do(ctx, request{
		method: http.MethodGet, name: "/v1/orders/{id}", path: "/v1/orders/" + made.Order.ID, token: guest.Token,
	}, nil)
	return true
}

// placed are the acknowledged orders: the customers' addresses by the order's ID. Each customer buys once.
type placed struct {
	mu     sync.Mutex
	orders map[string]string
}

func newPlaced() *placed { return &placed{orders: map[string]string{}} }

func (p *placed) add(order, email string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders[order] = email
}

func (p *placed) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.orders)
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
