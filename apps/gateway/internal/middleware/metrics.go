package middleware

import (
	"github.com/prometheus/client_golang/prometheus"

	"souk/pkg/metric"
)

// Metrics count what the gateway itself decides.
type Metrics struct {
	limited *prometheus.CounterVec
	keys    *prometheus.CounterVec
	stale   prometheus.Counter
}

// What became of requests with an Idempotency-Key.
const (
	keyFirst     = "first"      // it ran
	keyReplayed  = "replayed"   // it got the first answer
	keyReread    = "reread"     // it got the resource as it is now, since the first answer was not kept whole
	keyInFlight  = "in_flight"  // refused: the first request was still running
	keyMismatch  = "mismatch"   // refused: the first request had another body
	keyOverQuota = "over_quota" // it ran, and its answer was not kept whole; counted beside first
)

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (m *Metrics, err error) {
	m = &Metrics{}
	if m.limited, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rate_limit_refused_total",
		Help: "Requests that were refused by a rate limit.",
	}, []string{"limit"})); err != nil {
		return nil, err
	}
	if m.keys, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "idempotency_key_total",
		Help: "Requests with an Idempotency-Key, by what became of them.",
	}, []string{"outcome"})); err != nil {
		return nil, err
	}
	m.stale, err = metric.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "stale_answers_total",
		Help: "Answers from the cache that were out of date, sent because the service was unavailable.",
	}))
	return m, err
}

func (m *Metrics) key(outcome string) { m.keys.WithLabelValues(outcome).Inc() }
