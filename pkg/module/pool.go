package module

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// poolCollector exports metrics of a service's database connections.
type poolCollector struct{ pool *pgxpool.Pool }

var (
	poolInUse = prometheus.NewDesc("postgres_connections_in_use", "Connections that a query or transaction holds.",
		nil, nil)
	poolOpen  = prometheus.NewDesc("postgres_connections_open", "Connections that are open.", nil, nil)
	poolMax   = prometheus.NewDesc("postgres_connections_max", "Connections that may be open.", nil, nil)
	poolWaits = prometheus.NewDesc("postgres_connection_wait_total",
		"Times that a connection had to be waited for.", nil, nil)
	poolWait = prometheus.NewDesc("postgres_connection_wait_seconds_total", "Time spent waiting for connections.",
		nil, nil)
)

// Describe sends the descriptions of the metrics.
func (c poolCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolInUse, poolOpen, poolMax, poolWaits, poolWait} {
		out <- d
	}
}

// Collect sends the metrics.
func (c poolCollector) Collect(out chan<- prometheus.Metric) {
	s := c.pool.Stat()
	for d, v := range map[*prometheus.Desc]float64{
		poolInUse: float64(s.AcquiredConns()), poolOpen: float64(s.TotalConns()), poolMax: float64(s.MaxConns()),
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	out <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	out <- prometheus.MustNewConstMetric(poolWait, prometheus.CounterValue, s.EmptyAcquireWaitTime().Seconds())
}
