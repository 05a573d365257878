package tests

import (
	"fmt"
	"sync/atomic"
	"testing"

	"souk/pkg/identity"
)

// BenchmarkCheckout is the order side of a checkout of two shops' things, the other services being free.
func BenchmarkCheckout(b *testing.B) {
	for _, callers := range []int{16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			k := setup(b)
			k.offer("var_a", "shp_1", "10.00", 1<<40)
			k.offer("var_b", "shp_2", "19.99", 1<<40)
			customers := make([]identity.Actor, b.N)
			for i := range customers {
				customers[i] = user(fmt.Sprint(i))
				k.fill(customers[i].ID, line("var_a", 3), line("var_b", 1))
			}
			var n atomic.Int64
			b.SetParallelism(callers / 2) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := k.checkout(customers[n.Add(1)-1], "k", checkoutRequest("tok_ok")); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			k.ended()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checkouts/s")
		})
	}
}
