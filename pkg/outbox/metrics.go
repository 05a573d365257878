package outbox

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// relayMetrics are shared by all relays that use the same registerer. consumerMetrics are likewise shared: a service
// has several consumers, which differ by label.
type relayMetrics struct {
	published *prometheus.CounterVec
	pending   prometheus.Gauge
	oldest    prometheus.Gauge
}

type consumerMetrics struct {
	handled *prometheus.CounterVec
	lag     *prometheus.HistogramVec
	dead    *prometheus.CounterVec
}

func newRelayMetrics(r prometheus.Registerer) relayMetrics {
	return relayMetrics{
		published: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "event_published_total", Help: "Events that JetStream has acknowledged.",
		}, []string{"subject"})),
		pending: register(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_pending", Help: "Rows of the outbox that have not been sent (counted up to 100000).",
		})),
		oldest: register(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_oldest_seconds", Help: "Age of the oldest row of the outbox that has not been sent.",
		})),
	}
}

func newConsumerMetrics(r prometheus.Registerer) consumerMetrics {
	return consumerMetrics{
		handled: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "event_handled_total", Help: "Events by what became of them: ok, duplicate, retry, dead.",
		}, []string{"consumer", "outcome"})),
		lag: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "event_lag_seconds", Help: "Time from what happened to its effect.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600},
		}, []string{"consumer"})),
		dead: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "event_dead_total", Help: "Events that ended as dead letters.",
		}, []string{"consumer"})),
	}
}

// streamMetrics are those of JetStream. Each provisioner reports all: take the maximum.
type streamMetrics struct {
	bytes   *prometheus.GaugeVec
	limit   *prometheus.GaugeVec
	pending *prometheus.GaugeVec
	letters *prometheus.GaugeVec
}

func newStreamMetrics(r prometheus.Registerer) streamMetrics {
	return streamMetrics{
		bytes: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "event_stream_bytes", Help: "Bytes that a stream holds.",
		}, []string{"stream"})),
		limit: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "event_stream_limit_bytes",
			Help: "Bytes that a stream may hold; missing if only the server limits it.",
		}, []string{"stream"})),
		pending: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "event_consumer_pending", Help: "Events that a consumer has not acknowledged yet.",
		}, []string{"consumer"})),
		letters: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "event_dead_letters", Help: "Dead letters of a consumer that were not replayed.",
		}, []string{"consumer"})),
	}
}

// register registers c. If an equal collector is already registered, it returns that one.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	if err := r.Register(c); err != nil {
		var dup prometheus.AlreadyRegisteredError
		if errors.As(err, &dup) {
			if known, ok := dup.ExistingCollector.(C); ok {
				return known
			}
		}
		panic(err) // a bug: two different collectors have the same name
	}
	return c
}
