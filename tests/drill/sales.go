package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/pkg/id"
)

// order is an order that souk has acknowledged.
type order struct {
	id, total string
	at        time.Time // when the answer was there
}

// placed are the acknowledged orders.
type placed struct {
	mu     sync.Mutex
	orders []order
}

func (p *placed) add(o order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders = append(p.orders, o)
}

func (p *placed) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.orders)
}

const listingWait = 60 * time.Second

var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64},
}

// send sends a request and decodes the answer, which must have the status want.
func (d *drill) send(ctx context.Context, method, path, token, key string, body, into any, want int) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.souk.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != want {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// buy makes a guest's purchase from two shops.
func (d *drill) buy(ctx context.Context) (order, error) {
	var guest struct{ Token string }
	if err := d.send(
		ctx,
		http.MethodPost,
		"/v1/guest",
		"",
		"",
		map[string]any{},
		&guest,
		http.StatusCreated,
	); err != nil {
		return order{}, err
	}
	var ignored json.RawMessage
	for _, v := range d.variant {
		item := map[string]any{"variantId": v, "quantity": 1}
		if err := d.send(
			ctx,
			http.MethodPost,
			"/v1/cart/items",
			guest.Token,
			"",
			item,
			&ignored,
			http.StatusOK,
		); err != nil {
			return order{}, err
		}
	}
	key := id.New(id.Event)
	var made struct {
		Order struct {
			ID, Status string
			Total      struct{ Amount string }
		}
	}
	err := d.send(ctx, http.MethodPost, "/v1/checkout", guest.Token, key, map[string]any{
		"email": key + "@example.com",
		"shippingAddress": map[string]string{
			"name": "Ana Souza", "line1": "Rua das Flores 12", "city": "São Paulo", "region": "SP",
			"postalCode": "01001-000", "countryCode": "BR",
		},
		"payment": map[string]string{"method": "card", "token": "tok_ok"},
	}, &made, http.StatusCreated)
	return order{id: made.Order.ID, total: made.Order.Total.Amount, at: time.Now()}, err
}

// sell places n orders, from several clients at once.
func (d *drill) sell(ctx context.Context, n, clients int, into *placed) error {
	var left atomic.Int64
	left.Store(int64(n))
	failures := make(chan error, clients)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				o, err := d.buy(ctx)
				if err != nil {
					failures <- err
					return
				}
				into.add(o)
			}
		})
	}
	wg.Wait()
	close(failures)
	return <-failures
}

// sellUntil places orders until ctx ends. Failures are what happens when the volumes are lost.
func (d *drill) sellUntil(ctx context.Context, clients int, into *placed) {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if o, err := d.buy(ctx); err == nil {
					into.add(o)
				} else if !wait(ctx, 50*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// prepare starts souk with two shops and a PostgreSQL that archives.
func (d *drill) prepare(ctx context.Context) error {
	if err := d.souk.start(ctx); err != nil { // makes the databases
		return err
	}
	if err := d.souk.stop(); err != nil {
		return err
	}
	postgres := filepath.Join(d.souk.dir, "postgres")
	var err error
	if d.backup, err = newBackup(filepath.Join(d.dir, "backup"), postgres); err != nil {
		return err
	}
	if err := d.souk.start(ctx); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(postgres, "passwords.json"))
	if err != nil {
		return err
	}
	var passwords map[string]string
	if err := json.Unmarshal(raw, &passwords); err != nil {
		return err
	}
	if err := d.backup.begin(ctx, d.souk.databases["order"], passwords["postgres"]); err != nil {
		return err
	}
	if err := d.stock(ctx); err != nil {
		return err
	}
	d.laps.done("souk runs, PostgreSQL archives to pgBackRest and streams its log")
	return nil
}

// stock imports a product of each shop.
func (d *drill) stock(ctx context.Context) error {
	file := filepath.Join(d.dir, "products.csv")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	_ = w.Write([]string{
		"Handle", "Title", "Vendor", "Published", "Variant SKU", "Variant Inventory Qty", "Variant Price", "Status",
	}) // Error below returns the first failure
	for i := range d.variant {
		n := strconv.Itoa(i)
		_ = w.Write(
			[]string{"drill-" + n, "Drill " + n, "Drill Shop " + n, "true", "DRILL-" + n, "900000", "12.50", "active"},
		)
	}
	w.Flush()
	if err := errors.Join(w.Error(), f.Close()); err != nil {
		return err
	}
	if err := d.souk.command(ctx, "import", "products", file, "--create-shops"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, listingWait)
	defer cancel()
	for i := range d.variant {
		path := "/v1/products?pageSize=1&shopId=drill-shop-" + strconv.Itoa(i)
		for d.variant[i] == "" {
			var page struct {
				Products []struct{ Variants []struct{ ID string } }
			}
			if err := d.send(ctx, http.MethodGet, path, "", "", nil, &page, http.StatusOK); err != nil {
				return err
			}
			if len(page.Products) == 1 && len(page.Products[0].Variants) == 1 {
				d.variant[i] = page.Products[0].Variants[0].ID
			} else if !wait(ctx, 100*time.Millisecond) {
				return fmt.Errorf("GET %s does not list the product: %w", path, ctx.Err())
			}
		}
	}
	return nil
}

// compare checks that each order that was acknowledged before the moment of the restore is there, with its total.
func (d *drill) compare(ctx context.Context, p *placed, target time.Time) error {
	conn, err := pgx.Connect(ctx, d.souk.databases["order"])
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	rows, err := conn.Query(ctx, `select id, total from orders where status = 'confirmed'`)
	if err != nil {
		return err
	}
	there := map[string]string{}
	var orderID string
	var cents int64
	if _, err := pgx.ForEachRow(rows, []any{&orderID, &cents}, func() error {
		there[orderID] = fmt.Sprintf("%d.%02d", cents/100, cents%100)
		return nil
	}); err != nil {
		return err
	}
	before, missing, wrong, after := 0, []string{}, 0, 0
	for _, o := range p.orders {
		total, ok := there[o.id]
		switch {
		case o.at.After(target):
			if !ok {
				after++
			}
		case !ok:
			missing = append(missing, o.id)
		case total != o.total:
			wrong++
		}
		if !o.at.After(target) {
			before++
		}
	}
	d.laps.done(
		"%d orders acknowledged before the moment: %d missing, %d with another total; %d of the last second are lost",
		before,
		len(missing),
		wrong,
		after,
	)
	if len(missing)+wrong > 0 || before == 0 {
		return fmt.Errorf("orders are missing: %s", strings.Join(missing[:min(len(missing), 5)], ", "))
	}
	return nil
}

// sellAgain shows that souk sells as before.
func (d *drill) sellAgain(ctx context.Context) error {
	p := &placed{}
	if err := d.sell(ctx, 100, 8, p); err != nil {
		return fmt.Errorf("orders after the restore: %w", err)
	}
	if err := d.souk.command(ctx, "verify", "--settle", "30s"); err != nil {
		return err
	}
	d.laps.done("100 more orders, souk verify: clean")
	return d.souk.stop()
}
