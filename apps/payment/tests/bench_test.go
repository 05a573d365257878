package tests

import (
	"testing"

	"souk/apps/payment/internal/sandbox"
)

// BenchmarkAuthorizeAndCapture measures the payment part of a checkout with 32 callers.
func BenchmarkAuthorizeAndCapture(b *testing.B) {
	h := setup(b)
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := request(sandbox.TokenOK)
			if _, err := h.authorize(r); err != nil {
				b.Error(err)
				return
			}
			if _, err := h.capture(r.OrderID); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}
