package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack/natsserver"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
)

// benchSetup is setup with a broker that syncs after every write, as souk's do.
func benchSetup(b *testing.B) *bundle {
	b.Helper()
	s := setup(b)
	s.nats = natstest.Start(b, natsserver.Options{StoreDir: b.TempDir()})
	s.connect()
	require.NoError(b, outbox.EnsureStreams(context.Background(), s.js, outbox.Streams{}))
	return s
}

// fill writes n events of 100 aggregates, 1,000 in a transaction.
func (b *bundle) fill(n int) {
	b.t.Helper()
	for v := int64(1); n > 0; v++ {
		list := b.events("ord", 0)
		for i := 0; i < min(n, 1000); i++ {
			list = append(list, b.event(aggregate(i%100), v*10+int64(i/100)))
		}
		b.append(list...)
		n -= len(list)
	}
}

// BenchmarkRelay is how fast a full outbox gets to JetStream.
func BenchmarkRelay(b *testing.B) {
	s := benchSetup(b)
	s.fill(b.N)
	b.ResetTimer()
	s.run(s.relay())
	s.eventually(func() bool { return s.pending() == 0 }, "not sent")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkConsumer is how fast a full stream gets to effects in the database.
func BenchmarkConsumer(b *testing.B) {
	s := benchSetup(b)
	s.fill(b.N)
	stop := s.run(s.relay())
	s.eventually(func() bool { return s.pending() == 0 }, "not sent")
	stop()
	b.ResetTimer()
	s.run(s.consumer(s.options("a")))
	s.eventually(func() bool { return s.effects("a") >= b.N }, "effects are missing")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLatency is the time from before the commit to within the consumer's transaction, at 200 events/s.
func BenchmarkLatency(b *testing.B) {
	for name, wake := range map[string]bool{"woken": true, "polling": false} {
		b.Run(name, func(b *testing.B) {
			s := benchSetup(b)
			relay := s.relay()
			s.run(relay)
			s.run(s.consumer(s.options("a")))
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for i := range b.N {
				<-tick.C
				s.append(s.event(aggregate(i%50), int64(i+1)))
				if wake {
					relay.Wake()
				}
			}
			b.StopTimer()
			s.eventually(func() bool { return s.effects("a") >= b.N }, "effects are missing")
			var p50, p99, most float64
			require.NoError(b, s.pool.QueryRow(context.Background(), `
				select percentile_cont(0.5) within group (order by lag), percentile_cont(0.99) within group (order by lag), max(lag)
				from effect`).Scan(&p50, &p99, &most))
			b.ReportMetric(p50*1000, "p50-ms")
			b.ReportMetric(p99*1000, "p99-ms")
			b.ReportMetric(most*1000, "max-ms")
		})
	}
}
