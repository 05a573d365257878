package tests

import (
	"io"
	"net/http"
	"testing"

	"souk/apps/gateway/internal/middleware"
	"souk/apps/gateway/internal/rest"
	"souk/pkg/clock"
	"souk/pkg/logging"
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
	for name, change := range map[string]func(*rest.Deps){
		"cached":   func(*rest.Deps) {},
		"uncached": func(d *rest.Deps) { d.Cache = middleware.NewResponseCache(nil, 0, clock.System{}) },
	} {
		b.Run(name, func(b *testing.B) {
			log, err := logging.New(logging.Default(), io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			handler, _ := build(b, change, func(d *rest.Deps) { d.Logger = log })
			r, err := http.NewRequestWithContext(
				b.Context(),
				http.MethodGet,
				"http://souk.test/v1/products/"+newID(),
				http.NoBody,
			)
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "192.0.2.1:1"
			d := &discard{}
			d.ask(b, handler, r)
			b.ReportAllocs()
			for b.Loop() {
				d.ask(b, handler, r)
			}
		})
	}
}
