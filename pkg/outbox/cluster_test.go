package outbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack/natsserver"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/waittest"
)

// A cluster of three loses a node while events flow. Each event has its effect, once.
func TestClusterLosesNodeUnderLoad(t *testing.T) {
	for name, victim := range map[string]func(*harness) string{
		"the stream's leader": func(h *harness) string {
			s, err := h.js.Stream(h.t.Context(), outbox.StreamEvents)
			require.NoError(h.t, err)
			return s.CachedInfo().Cluster.Leader
		},
		"the client's node": func(h *harness) string { return h.nc.ConnectedServerName() },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := natstest.Cluster(t)
			h := &harness{t: t, pool: pgtest.New(t, outbox.Migrations(), effects)}
			h.streams = outbox.Streams{Replicas: 3, MaxBytes: 64 << 20, MaxDeadBytes: 1 << 20}
			var urls []string
			byName := map[string]*natsserver.Server{}
			for i, node := range nodes {
				urls = append(urls, node.URL())
				byName["n"+string(rune('0'+i))] = node
			}
			h.nats, h.urls = nodes[0], strings.Join(urls, ",")
			h.connect()
			waittest.Until(t, func() bool { return outbox.EnsureStreams(t.Context(), h.js, h.streams) == nil },
				"the cluster does not create streams with three replicas")
			h.run(h.consumer(h.options("shop")))
			h.run(h.relay())

			const before, after = 200, 400
			events := h.events(aggregate(1), after)
			for i := 0; i < before; i += 10 {
				h.append(events[i : i+10]...)
			}
			waittest.Until(t, func() bool { return h.effects("shop") > 0 }, "no event has an effect")
			stopped := make(chan error, 1)
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			node := byName[victim(h)]
			require.NotNil(t, node)
			killed := time.Now()
			go func() { stopped <- node.Stop(ctx) }()
			for i := before; i < after; i += 10 {
				h.append(events[i : i+10]...)
			}
			require.NoError(t, waittest.Receive(t, stopped))
			h.once("shop", after)
			require.Zero(t, h.pending())
			t.Logf("all effects are there %v after the node was stopped", time.Since(killed).Round(10*time.Millisecond))
		})
	}
}
