package rpctest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/breaker"
	"souk/pkg/retry"
	"souk/pkg/rpc"
)

// Bench measures GetProduct with all features on (token, request ID, unsampled trace, metrics, breaker, retries,
// validation, the method's deadline), for 1 and for 16 callers.
func Bench(b *testing.B, transports Transports) {
	b.Helper()
	k := Setup(b, transports, nil)
	p := sample()
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		return &productv1.GetProductResponse{Product: p}, nil
	}
	client := k.Client("order", func(o *rpc.ClientOptions) {
		o.Metrics = prometheus.NewRegistry()
		o.Breakers = breaker.NewRegistry(breaker.Options{}, nil)
		o.Retry = retry.Default()
	})
	ctx := rpc.WithRequestID(trace.ContextWithSpanContext(k.User(b.Context(), b), spanContext(0)), "req_1")
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := client.GetProduct(ctx, get("prd_1")); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}

// sample returns a product of about 560 bytes.
func sample() *productv1.Product {
	p := &productv1.Product{
		Id:           "prd_0198c5f27e6b7c1f8a3d5e9b04c7d21a",
		ShopId:       "shp_0198c5f27e6b7c1f8a3d5e9b04c7d21a",
		ShopName:     "Loja do João",
		Handle:       "a-handle",
		Title:        "A product with a title of usual length",
		Description:  "Two lines of text that say what it is, and why somebody would want it.",
		CategoryId:   "cat_0198c5f27e6b7c1f8a3d5e9b04c7d21a",
		CategoryPath: []string{"Home", "Kitchen"},
		Status:       "active",
		Price:        brl("53.98"),
		Images:       []*productv1.Image{{Url: "https://img.example/1.jpg"}},
	}
	for _, size := range []string{"S", "M"} {
		p.Variants = append(p.Variants, &productv1.Variant{
			Id:        "var_0198c5f27e6b7c1f8a3d5e9b04c7d21a",
			Sku:       "SKU-" + size,
			Options:   map[string]string{"Size": size},
			Price:     brl("53.98"),
			Available: true,
		})
	}
	return p
}
