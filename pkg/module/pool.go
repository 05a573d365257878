package module

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label server: whose connections or statements a metric is about.
const (
	serverPrimary = "primary"
	serverReplica = "replica"
)

// poolCollector exports metrics of the connections to a service's database, or to its replica.
type poolCollector struct {
	stat                             func() *pgxpool.Stat
	inUse, open, most, waits, waited *prometheus.Desc
}

func newPoolCollector(server string, stat func() *pgxpool.Stat) poolCollector {
	labels := prometheus.Labels{"server": server}
	return poolCollector{
		stat: stat,
		inUse: prometheus.NewDesc("postgres_connections_in_use",
			"Connections that a query or transaction holds.", nil, labels),
		open: prometheus.NewDesc("postgres_connections_open", "Connections that are open.", nil, labels),
		most: prometheus.NewDesc("postgres_connections_max", "Connections that may be open.", nil, labels),
		waits: prometheus.NewDesc("postgres_connection_wait_total",
			"Times that a connection had to be waited for.", nil, labels),
		waited: prometheus.NewDesc("postgres_connection_wait_seconds_total",
			"Time spent waiting for connections.", nil, labels),
	}
}

// Describe sends the descriptions of the metrics.
func (c poolCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.inUse, c.open, c.most, c.waits, c.waited} {
		out <- d
	}
}

// Collect sends the metrics.
func (c poolCollector) Collect(out chan<- prometheus.Metric) {
	s := c.stat()
	for d, v := range map[*prometheus.Desc]float64{
		c.inUse: float64(s.AcquiredConns()), c.open: float64(s.TotalConns()), c.most: float64(s.MaxConns()),
	} {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	out <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	out <- prometheus.MustNewConstMetric(c.waited, prometheus.CounterValue, s.EmptyAcquireWaitTime().Seconds())
}
