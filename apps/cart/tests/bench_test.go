package tests

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/cart/internal/handler"
	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/clock"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
)

// BenchmarkAddItem adds variants, 1,000 different ones, to the carts of 200 customers, who clear their carts at 5
// lines. It calls the contract in process while write-backs run.
func BenchmarkAddItem(b *testing.B) {
	redis, err := redisx.Open(b.Context(), redisx.Config{Addr: redistest.Addr(b)})
	require.NoError(b, err)
	b.Cleanup(redis.Close)
	h := setupOn(b, redis, clock.System{}, 500*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- handler.WriteBack(h.carts, 500*time.Millisecond, zap.NewNop())(ctx) }()
	defer func() {
		cancel()
		receive(b, done)
	}()
	var variants []string
	for range 1000 {
		variants = append(variants, h.catalogue.sell(brl(100), 1000))
	}
	var users []context.Context
	for range 200 {
		u, _ := h.user(b)
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
