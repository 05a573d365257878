package tests

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/gateway/internal/middleware"
	"souk/apps/gateway/internal/repository"
	"souk/apps/gateway/internal/rest"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/logging"
	"souk/pkg/module"
	"souk/pkg/moduletest"
)

// discard is a response writer that discards the body.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

func (d *discard) ask(b *testing.B, h http.Handler, r *http.Request) {
	d.header = http.Header{} // as net/http makes one
	d.status = http.StatusOK
	h.ServeHTTP(d, r)
	if d.status != http.StatusOK {
		b.Fatal(d.status)
	}
}

// BenchmarkGetProduct measures what the gateway adds to net/http, with answers from the cache and from a fake
// service.
func BenchmarkGetProduct(b *testing.B) {
	for name, cacheBytes := range map[string]int{"cached": 1 << 20, "uncached": 0} {
		b.Run(name, func(b *testing.B) {
			log, err := logging.New(logging.Default(), io.Discard)
			require.NoError(b, err)
			h := handler(b, cacheBytes, log)
			url := "http://souk.test/v1/products/" + newID()
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
			require.NoError(b, err)
			r.RemoteAddr = "192.0.2.1:1"
			d := &discard{}
			d.ask(b, h, r)
			b.ReportAllocs()
			for b.Loop() {
				d.ask(b, h, r)
			}
		})
	}
}

// handler returns the gateway's handler, without listener and limits.
func handler(b *testing.B, cacheBytes int, log *zap.Logger) (h http.Handler) {
	build := func(ctx context.Context, p *module.Platform) (module.Runnable, error) {
		conn, err := p.Client()
		require.NoError(b, err)
		redis, err := p.Redis(ctx)
		require.NoError(b, err)
		unlimited := &repository.Limiter{}
		counters, err := middleware.NewMetrics(nil)
		require.NoError(b, err)
		h, err = rest.New(ctx, rest.Deps{
			Conn:     conn,
			Signer:   p.Signer(),
			Keys:     repository.NewKeys(redis),
			Counters: counters,
			Cache: middleware.NewResponseCache(
				repository.NewTags(redis),
				cacheBytes,
				time.Minute,
				p.Clock(),
				counters,
			),
			ByCaller:  unlimited,
			ByAddress: unlimited,
			Logger:    log,
			Tracer:    p.Tracer(),
			Metrics:   p.Metrics(),
			Clock:     p.Clock(),
			PublicURL: "http://souk.test",
			MaxBody:   1 << 20,
			Timeout:   timeout,
		})
		return module.Group(), err
	}
	moduletest.Start(b, module.Module{Name: "gateway", Build: build},
		moduletest.Fake("product", func(r grpc.ServiceRegistrar) {
			productv1.RegisterProductServiceServer(r, &products{})
		}))
	return h
}
