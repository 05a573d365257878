package tests

import (
	"fmt"
	"sync/atomic"
	"testing"

	"souk/pkg/identity"
)

// BenchmarkCheckout measures checkouts of two shops' items. The other services are fakes that cost nothing.
func BenchmarkCheckout(b *testing.B) {
	for _, callers := range []int{16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			h := setup(b)
			h.offer("var_a", "shp_1", "10.00", 1<<40)
			h.offer("var_b", "shp_2", "19.99", 1<<40)
			customers := make([]identity.Actor, b.N)
			for i := range customers {
				customers[i] = user(fmt.Sprint(i))
				h.fill(customers[i].ID, line("var_a", 3), line("var_b", 1))
			}
			var n atomic.Int64
			b.SetParallelism(callers / 2) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := h.checkout(customers[n.Add(1)-1], "k", checkoutRequest("tok_ok")); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			h.waitForSagas()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checkouts/s")
		})
	}
}
