package rpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"souk/pkg/errs"
	"souk/pkg/metric"
)

// buckets range from calls within the process to calls that time out. Unit: seconds.
var buckets = []float64{
	.00001,
	.000025,
	.0001,
	.00025,
	.0005,
	.001,
	.0025,
	.005,
	.01,
	.025,
	.05,
	.1,
	.2,
	.5,
	1,
	2.5,
	5,
	10,
}

const codeOK = "ok"

// metrics are the metrics of one side, client or server.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics registers rpc_{side}_requests_total and rpc_{side}_duration_seconds. Servers or clients with the same
// Registerer share them.
func newMetrics(side string, r prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rpc_" + side + "_requests_total",
			Help: "Calls by called service (target), method and code (ok or an error code), " + side + " side.",
		}, []string{"target", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rpc_" + side + "_duration_seconds",
			Help:    "Duration of calls by called service and method, " + side + " side.",
			Buckets: buckets,
		}, []string{"target", "method"}),
	}
	if r != nil {
		m.requests = register(r, m.requests)
		m.duration = register(r, m.duration)
	}
	return m
}

func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if shared, ok := already.ExistingCollector.(C); ok {
			return shared
		}
	}
	return c
}

// methodMetrics are the metrics of one method. It keeps the labelled children, because a lookup costs as much as an
// increment.
type methodMetrics struct {
	requests *prometheus.CounterVec // curried with service and method
	ok       prometheus.Counter
	failed   sync.Map // errs.Code to prometheus.Counter
	duration prometheus.Observer
}

func (m metrics) method(service, name string) *methodMetrics {
	requests := m.requests.MustCurryWith(prometheus.Labels{"target": service, "method": name})
	return &methodMetrics{
		requests: requests,
		ok:       requests.WithLabelValues(codeOK),
		duration: m.duration.WithLabelValues(service, name),
	}
}

// observe counts a call; ctx is that of its span.
func (m *methodMetrics) observe(ctx context.Context, start time.Time, err *errs.Error) {
	traceID := ""
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		traceID = sc.TraceID().String()
	}
	metric.Observe(m.duration, time.Since(start), traceID)
	if err == nil {
		m.ok.Inc()
		return
	}
	counter, ok := m.failed.Load(err.Code)
	if !ok {
		counter, _ = m.failed.LoadOrStore(err.Code, m.requests.WithLabelValues(string(err.Code)))
	}
	counter.(prometheus.Counter).Inc() //nolint:forcetypeassert // nothing else is stored
}
