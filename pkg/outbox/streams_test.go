package outbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

func TestProvisionerMeasuresWhatWaits(t *testing.T) {
	t.Parallel()
	h := setup(t)
	reg := prometheus.NewRegistry()
	durable := outbox.NewDurable("order", "payments", []string{"evt.payment.>"})
	p := outbox.NewProvisioner(h.js, outbox.Streams{MaxBytes: 1 << 20}, []outbox.Durable{durable}, zap.NewNop(), reg)
	require.NoError(t, p.Provision(t.Context()))
	for _, subject := range []string{"evt.payment.completed", "evt.payment.failed", "evt.shop.updated"} {
		_, err := h.js.Publish(t.Context(), subject, nil)
		require.NoError(t, err)
	}
	for _, consumer := range []string{"order_payments", "order_payments", "order_removed"} {
		subject := outbox.DeadSubject(consumer, "evt.payment.completed")
		_, err := h.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, waittest.Receive(t, done))
	}()
	waittest.Until(t, func() bool {
		n, err := testutil.GatherAndCount(reg, "event_dead_letters")
		return err == nil && n > 0
	}, "nothing is measured")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP event_consumer_pending Events that a consumer has not acknowledged yet.
# TYPE event_consumer_pending gauge
event_consumer_pending{consumer="order_payments"} 2
# HELP event_dead_letters Dead letters of a consumer that were not replayed.
# TYPE event_dead_letters gauge
event_dead_letters{consumer="order_payments"} 2
event_dead_letters{consumer="order_removed"} 1
# HELP event_stream_limit_bytes Bytes that a stream may hold; missing if only the server limits it.
# TYPE event_stream_limit_bytes gauge
event_stream_limit_bytes{stream="DEAD"} 5.36870912e+08
event_stream_limit_bytes{stream="EVENTS"} 1.048576e+06
`), "event_consumer_pending", "event_dead_letters", "event_stream_limit_bytes"))
	n, err := testutil.GatherAndCount(reg, "event_stream_bytes")
	require.NoError(t, err)
	require.Equal(t, 2, n)
}
