package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"souk/apps/security/internal/domain"
	"souk/pkg/metric"
)

// Metrics count what was observed and found.
type Metrics struct {
	observations *prometheus.CounterVec
	events       *prometheus.CounterVec
	open         *prometheus.GaugeVec
	last         prometheus.Gauge
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (m *Metrics, err error) {
	m = &Metrics{}
	if m.observations, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "security_observation_total", Help: "What gateways have observed, by kind.",
	}, []string{"kind"})); err != nil {
		return nil, err
	}
	if m.events, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "security_event_total", Help: "Security events that were found, by kind.",
	}, []string{"kind"})); err != nil {
		return nil, err
	}
	if m.open, err = metric.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "security_events_open", Help: "Security events that nobody has acknowledged, by kind.",
	}, []string{"kind"})); err != nil {
		return nil, err
	}
	m.last, err = metric.Register(r, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "security_last_detection_timestamp_seconds", Help: "When the detectors last ran to their end.",
	}))
	return m, err
}

func (m *Metrics) observed(all []domain.Observation) {
	for _, o := range all {
		m.observations.WithLabelValues(string(o.Kind)).Add(float64(o.Count))
	}
}

// passed notes a pass of the detectors.
func (m *Metrics) passed(open map[domain.Kind]int, now time.Time) {
	for _, k := range domain.Kinds() {
		m.open.WithLabelValues(string(k)).Set(float64(open[k]))
	}
	m.last.Set(float64(now.Unix()))
}
