// Package metric holds what souk's Prometheus metrics have in common: the registry, the buckets, the
// service label, and the metrics of HTTP.
//
// Names have the form noun_unit, with base units; counters end in _total. The values of a label are
// bounded: a route, never a path.
package metric

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DurationBuckets returns the bounds of every histogram of durations, in seconds: 0.5 ms to 10 s. The objectives of
// docs/metrics.md (50 ms, 200 ms, 500 ms) are among them, so that alerts count exactly.
func DurationBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2.5, 5, 10}
}

// Observe records d in a histogram of durations. In a sampled trace, the trace's ID becomes the exemplar of its
// bucket; traceID is "" otherwise.
func Observe(o prometheus.Observer, d time.Duration, traceID string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && traceID != "" {
		e.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": traceID})
		return
	}
	o.Observe(d.Seconds())
}

// SizeBuckets returns the bounds of every histogram of sizes, in bytes: 256 B to 4 MiB.
func SizeBuckets() []float64 { return prometheus.ExponentialBuckets(256, 4, 8) }

// NewRegistry returns a registry with the metrics of the Go runtime and of the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	return r
}

// Handler serves the metrics of r: as OpenMetrics with exemplars to a scraper that asks for it, otherwise as text.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// ForService returns a registerer that adds the service's name as a label to every metric of r, so
// that several services in one process may have the same metrics.
func ForService(r prometheus.Registerer, service string) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, r)
}

// Register registers c. If the same metric is registered already, it returns that one, so that
// several users of a package in one service share it. If r is nil, it registers nothing.
func Register[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	if r == nil {
		return c, nil
	}
	err := r.Register(c)
	var dup prometheus.AlreadyRegisteredError
	if errors.As(err, &dup) {
		if old, ok := dup.ExistingCollector.(C); ok {
			return old, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("metric: %w", err)
	}
	return c, nil
}
