package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

// variants adds n products with one variant each.
func (h *harness) variants(n int) []string {
	shop, _ := h.shop("bench")
	var all []string
	for i := 0; i < n; i += 200 {
		var products []*productv1.ImportedProduct
		for j := i; j < min(i+200, n); j++ {
			products = append(products, simple(shop, fmt.Sprint("p", j), "Thing", 1_000_000_000))
		}
		for _, productID := range h.add(products...) {
			all = append(all, h.get(productID).GetVariants()[0].GetId())
		}
	}
	return all
}

// BenchmarkReserveAndCommit measures a checkout's calls: two lines are reserved, then sold.
func BenchmarkReserveAndCommit(bench *testing.B) {
	for _, size := range []struct {
		name     string
		variants int
	}{{"spread", 1000}, {"hot", 1}} {
		for _, callers := range []int{8, 32} { // times GOMAXPROCS
			bench.Run(fmt.Sprintf("%s/callers=%d", size.name, callers), func(bench *testing.B) {
				h := setup(bench)
				variants := h.variants(size.variants)
				bench.SetParallelism(callers)
				bench.ResetTimer()
				bench.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						orderID := id.New(id.Order)
						lines := line(variants[rand.IntN(len(variants))], 1)
						if size.variants > 1 {
							lines = append(lines, line(variants[rand.IntN(len(variants))], 1)...)
						}
						if err := h.reserve(orderID, lines); err != nil {
							bench.Error(err)
						}
						if err := h.commit(orderID); err != nil {
							bench.Error(err)
						}
					}
				})
				bench.ReportMetric(float64(bench.N)/bench.Elapsed().Seconds(), "checkouts/s")
			})
		}
	}
}

func BenchmarkReads(bench *testing.B) {
	for _, withCache := range []bool{false, true} {
		var opts []moduletest.Option
		if withCache {
			opts = cached(bench)
		}
		h := setup(bench, opts...)
		h.variants(1000)
		ctx := h.asVisitor()
		first, err := h.client.SearchProducts(ctx, &productv1.SearchProductsRequest{})
		if err != nil {
			bench.Fatal(err)
		}
		productID := first.GetProducts()[0].GetId()
		bench.Run(fmt.Sprintf("GetProduct/cached=%t", withCache), func(bench *testing.B) {
			bench.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := h.client.GetProduct(ctx, &productv1.GetProductRequest{Id: productID}); err != nil {
						bench.Error(err)
					}
				}
			})
		})
		bench.Run(fmt.Sprintf("List20/cached=%t", withCache), func(bench *testing.B) {
			bench.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := h.client.SearchProducts(ctx, &productv1.SearchProductsRequest{}); err != nil {
						bench.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkOffers measures the first call of a cart or checkout, for two variants, by one caller and by many.
func BenchmarkOffers(bench *testing.B) {
	h := setup(bench)
	variants := h.variants(2000)
	_, err := h.Pool.Exec(context.Background(), "analyze")
	require.NoError(bench, err)
	for _, callers := range []int{0, 8, 32} { // times GOMAXPROCS; 0: one caller
		bench.Run(fmt.Sprintf("callers=%d", callers), func(bench *testing.B) {
			call := func() {
				ids := []string{variants[rand.IntN(len(variants))], variants[rand.IntN(len(variants))]}
				if _, err := h.order.BatchGetVariants(
					context.Background(), &productv1.BatchGetVariantsRequest{VariantIds: ids},
				); err != nil {
					bench.Error(err)
				}
			}
			if callers == 0 {
				for bench.Loop() {
					call()
				}
				return
			}
			bench.SetParallelism(callers)
			bench.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call()
				}
			})
		})
	}
}
