package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack/natsserver"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

// benchSetup is setup with a NATS server that syncs after every write, as souk's does.
func benchSetup(b *testing.B) *harness {
	b.Helper()
	h := setup(b)
	h.nats = natstest.Start(b, natsserver.Options{StoreDir: b.TempDir()})
	h.connect()
	require.NoError(b, outbox.EnsureStreams(context.Background(), h.js, outbox.Streams{}))
	return h
}

// fill appends n events of 100 aggregates, 1,000 per transaction.
func (h *harness) fill(n int) {
	h.t.Helper()
	for v := int64(1); n > 0; v++ {
		list := h.events("ord", 0)
		for i := 0; i < min(n, 1000); i++ {
			list = append(list, h.event(aggregate(i%100), v*10+int64(i/100)))
		}
		h.append(list...)
		n -= len(list)
	}
}

// BenchmarkRelay measures how fast the events of a full outbox are published.
func BenchmarkRelay(b *testing.B) {
	h := benchSetup(b)
	h.fill(b.N)
	b.ResetTimer()
	h.run(h.relay())
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not sent")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkConsumer measures how fast the events of a full stream are handled.
func BenchmarkConsumer(b *testing.B) {
	h := benchSetup(b)
	h.fill(b.N)
	stop := h.run(h.relay())
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not sent")
	stop()
	b.ResetTimer()
	h.run(h.consumer(h.options("a")))
	waittest.Until(h.t, func() bool { return h.effects("a") >= b.N }, "effects are missing")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLatency measures the time from before the commit to within the consumer's transaction, at 200 events/s.
func BenchmarkLatency(b *testing.B) {
	for name, wake := range map[string]bool{"woken": true, "polling": false} {
		b.Run(name, func(b *testing.B) {
			h := benchSetup(b)
			relay := h.relay()
			h.run(relay)
			h.run(h.consumer(h.options("a")))
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for i := range b.N {
				waittest.Receive(b, tick.C)
				h.append(h.event(aggregate(i%50), int64(i+1)))
				if wake {
					relay.Wake()
				}
			}
			b.StopTimer()
			waittest.Until(h.t, func() bool { return h.effects("a") >= b.N }, "effects are missing")
			var p50, p99, most float64
			require.NoError(b, h.pool.QueryRow(context.Background(), `
				select percentile_cont(0.5) within group (order by lag), percentile_cont(0.99) within group (order by lag), max(lag)
				from effect`).Scan(&p50, &p99, &most))
			b.ReportMetric(p50*1000, "p50-ms")
			b.ReportMetric(p99*1000, "p99-ms")
			b.ReportMetric(most*1000, "max-ms")
		})
	}
}
