package rpc

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"souk/pkg/errs"
)

// buckets reach from a call inside the process to one that times out.
var buckets = []float64{.00001, .000025, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

const codeOK = "ok"

// metrics counts calls and how long they take, on one side.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics registers rpc_{side}_requests_total and rpc_{side}_duration_seconds. Several servers or
// clients on one Registerer share them.
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

// methodMetrics are those of one method. Their children are kept: looking one up costs as much as counting.
type methodMetrics struct {
	requests *prometheus.CounterVec // of the service and method
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

func (m *methodMetrics) observe(start time.Time, err *errs.Error) {
	m.duration.Observe(time.Since(start).Seconds())
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
