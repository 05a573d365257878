package tests

import (
	"context"
	"sync/atomic"
	"testing"

	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/clock"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
)

// BenchmarkAddItem adds variants, 1,000 different ones, to the carts of 200 customers, who clear their carts at 5
// lines. It calls the contract in process while write-backs run.
func BenchmarkAddItem(b *testing.B) {
	h := setupOn(b, redistest.Private(b).Config(), clock.System{},
		moduletest.Config(map[string]any{"offer_ttl": "500ms"}))
	var variants []string
	for range 1000 {
		variants = append(variants, h.catalogue.sell(brl(100), 1000))
	}
	var users []context.Context
	for range 200 {
		u, _ := h.user()
		users = append(users, u)
	}
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(n.Add(1))
			u := users[i%len(users)]
			res, err := h.client.AddItem(u, &cartv1.AddItemRequest{VariantId: variants[i*7%len(variants)], Quantity: 1})
			if err != nil {
				b.Error(err)
				return
			}
			if len(res.GetCart().GetItems()) >= 5 {
				if _, err := h.client.ClearCart(u, &cartv1.ClearCartRequest{}); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
}
