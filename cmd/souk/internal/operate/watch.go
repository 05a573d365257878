package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"souk/cmd/souk/internal/verify"
	"souk/pkg/build"
	"souk/pkg/chore"
	"souk/pkg/loopback"
	"souk/pkg/metric"
)

// WatchOptions are the options of [Souk.Watch].
type WatchOptions struct {
	VerifyOptions
	// Every is the time between two runs of all checks.
	Every time.Duration
	// Addr is where /metrics is served, host:port.
	Addr string
	// OnListen is called with the address of the listener. It may be nil.
	OnListen func(addr string)
}

// Watch checks the invariants over and over until ctx ends, and serves their outcome as metrics. A broken invariant and
// a run that fails are no errors: the metrics show them, and a line of Warnings says why a run failed.
func (s *Souk) Watch(ctx context.Context, o WatchOptions) error {
	reg := metric.NewRegistry()
	m, err := newVerifyMetrics(reg)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metric.Handler(reg))
	mux.HandleFunc("GET /health/live", func(http.ResponseWriter, *http.Request) {}) // 200
	var handler http.Handler = mux
	if addr, ok := ln.Addr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		handler = loopback.Only(mux)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	if o.OnListen != nil {
		o.OnListen(ln.Addr().String())
	}
	_ = chore.Loop(ctx, nil, func(ctx context.Context, _ bool) (time.Duration, error) { // it returns nil
		began := time.Now()
		report, err := s.verifyAll(ctx, o.VerifyOptions)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			m.runs.WithLabelValues("failed").Inc()
			fmt.Fprintln(o.Warnings, "a run failed:", err)
		default:
			m.record(report.Checks, began, time.Now())
		}
		return o.Every, nil //nolint:nilerr // a failed run is counted, and the next one may succeed
	})
	err = server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// verifyMetrics show the last run that did not fail.
type verifyMetrics struct {
	wrong    *prometheus.GaugeVec
	checked  *prometheus.GaugeVec
	runs     *prometheus.CounterVec
	last     prometheus.Gauge
	duration prometheus.Gauge
}

func newVerifyMetrics(r prometheus.Registerer) (*verifyMetrics, error) {
	m := &verifyMetrics{
		wrong: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "verify_wrong",
			Help: "Rows that break a check; severity is violation, or warning: no invariant is broken.",
		}, []string{"check", "severity"}),
		checked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "verify_checked", Help: "Rows that a check looked at.",
		}, []string{"check"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "verify_run_total", Help: "Runs of all checks by result: ok, broken (an invariant is), failed.",
		}, []string{"result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "verify_last_run_timestamp_seconds", Help: "When the last run that did not fail ended.",
		}),
		duration: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "verify_last_run_duration_seconds", Help: "How long the last run that did not fail took.",
		}),
	}
	for _, result := range []string{"ok", "broken", "failed"} {
		m.runs.WithLabelValues(result)
	}
	for _, c := range []prometheus.Collector{m.wrong, m.checked, m.runs, m.last, m.duration, build.Read().Metric()} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *verifyMetrics) record(checks []verify.Check, began, ended time.Time) {
	m.wrong.Reset()
	m.checked.Reset()
	result := "ok"
	for _, c := range checks {
		severity := "violation"
		if c.Warning {
			severity = "warning"
		}
		if c.Violated() {
			result = "broken"
		}
		m.wrong.WithLabelValues(c.Name, severity).Set(float64(c.Wrong))
		m.checked.WithLabelValues(c.Name).Set(float64(c.Checked))
	}
	m.runs.WithLabelValues(result).Inc()
	m.last.Set(float64(ended.UnixMilli()) / 1000)
	m.duration.Set(ended.Sub(began).Seconds())
}
