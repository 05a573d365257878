package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

const (
	arrivalRate  = 50 // purchases per second
	arrivalConns = 64 // more than are ever in progress at arrivalRate
)

// measurePurchase measures a guest's whole purchase: POST /v1/guest, /v1/cart/items and /v1/checkout, one after the
// other. It measures purchases in a closed loop, and then purchases that arrive at a steady rate, as the customers
// of a shop do: they don't wait for each other.
func measurePurchase(ctx context.Context, b *bench) ([]row, error) {
	loads := []struct {
		name, file string
		conns      int
		rate       float64
	}{
		{"1 at once", "purchase-1", 1, 0},
		{"16 at once", "purchase-16", 16, 0},
		{"64 at once", "purchase-64", 64, 0},
		{fmt.Sprintf("%d arrive per second", arrivalRate), "purchase-arrivals", arrivalConns, arrivalRate},
	}
	var rows []row
	offset := 0
	for _, l := range loads {
		if err := b.awaitIdle(ctx); err != nil {
			return rows, err
		}
		work := b.purchases(offset)
		work.conns, work.rate, work.duration = l.conns, l.rate, b.duration
		s, err := b.watch(ctx, l.file, b.duration, func() (stats, error) { return work.run(ctx) })
		if err != nil {
			return rows, err
		}
		offset += s.done
		r := row{
			Name:        "a guest's whole purchase, " + l.name,
			Value:       s.rate(),
			Unit:        "/s",
			P50:         ms(s.p50),
			P99:         ms(s.p99),
			SoukCPU:     s.soukCPU(),
			DatabaseCPU: s.databaseCPU(),
			Errors:      s.failures(),
			Note:        s.failureNote(),
		}
		if r.Note == "" {
			r.Note = fmt.Sprintf("%d orders of three requests each", s.done)
		}
		rows = append(rows, r)
		if _, err := b.awaitSagas(ctx); err != nil {
			return rows, err
		}
	}
	return append(rows, b.verify(ctx, "the purchases")), nil
}

// purchases returns a load of purchases. Each buys one piece of the next of the 1,000 variants, from offset on.
func (b *bench) purchases(offset int) load {
	begin := request(b.souk.addr, http.MethodPost, "/v1/guest", "", "{}")
	return load{
		addr: b.souk.addr,
		next: func(int) []byte { return begin },
		follow: func(n int) func([]byte) []byte {
			step, token := 0, ""
			return func(body []byte) []byte {
				step++
				switch step {
				case 1:
					var guest struct{ Token string }
					_ = json.Unmarshal(body, &guest) // without a token, the next request is refused and counted
					token = guest.Token
					n := offset + n
					return addItem(b.souk.addr, token, b.catalogue.variants[n%benchShops][n/benchShops%shopProducts])
				case 2:
					return checkout(b.souk.addr, token, "")
				}
				return nil
			}
		},
	}
}
