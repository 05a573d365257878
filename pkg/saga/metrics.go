package saga

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	started *prometheus.CounterVec
	ended   *prometheus.CounterVec
	steps   *prometheus.HistogramVec
	parked  *prometheus.GaugeVec
	unknown *prometheus.GaugeVec
	running prometheus.Gauge
}

// newMetrics registers the metrics. Several runners of one process share them.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		started: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saga_started_total", Help: "Sagas that this process began to run.",
		}, []string{"type"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saga_ended_total", Help: "Sagas that this process brought to an end: done, compensated, or parked.",
		}, []string{"type", "state"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "saga_step_duration_seconds", Help: "How long one try of a step took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"type", "step", "kind", "code"}),
		parked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "saga_parked",
			Help: "Sagas in the database that wait for an operator. Each runner reports all: take the maximum.",
		}, []string{"type"}),
		unknown: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "saga_unknown", Help: "Sagas that nobody runs and whose type or version this process does not know.",
		}, []string{"type", "version"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "saga_running", Help: "Sagas that this process holds.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(register(reg, &m.started), register(reg, &m.ended), register(reg, &m.steps),
		register(reg, &m.parked), register(reg, &m.unknown), register(reg, &m.running))
}

func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			*c = existing
			return nil
		}
	}
	return err
}

func (m *metrics) step(p *plan, name, kind, code string, took time.Duration) {
	m.steps.WithLabelValues(p.Type, name, kind, code).Observe(took.Seconds())
}
