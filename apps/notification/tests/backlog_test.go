package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/event"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// TestBacklogIsSentOnceByAllProcesses logs how fast.
func TestBacklogIsSentOnceByAllProcesses(t *testing.T) {
	t.Parallel()
	const due = 500
	h := setup(t)
	h.Another()
	events := make([]event.Event, due)
	for i := range events {
		events[i] = h.confirmed(h.place("", fmt.Sprintf("buyer%d@example.com", i)))
	}
	began := time.Now()
	h.Deliver("order", events...)
	consumed := time.Since(began)
	waittest.Until(t, func() bool { return h.count("sent") == due }, "mails are missing")
	t.Logf("%.0f mails a second; all events were consumed after %s", due/time.Since(began).Seconds(), consumed)
	require.Len(t, h.sink.Messages(), due)
}

// TestHangingServerHoldsUpNoNotice: the jobs of each queue have workers of their own.
func TestHangingServerHoldsUpNoNotice(t *testing.T) {
	t.Parallel()
	h := setup(
		t,
		smtpServer(t, map[string]string{"RCPT": "250-there is more"}),
		moduletest.Config(map[string]any{"concurrency": 1}),
	)
	for i := range 5 {
		h.confirm(h.place("", fmt.Sprintf("buyer%d@example.com", i)))
	}
	const done = `select count(*) from notice where state = 'done'`
	waittest.Until(t, func() bool { return moduletest.Value[int](h.Service, done) == 5 }, "notices wait for the server")
}
