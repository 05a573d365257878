package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/security"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the security service, and a client of it as the gateway.
type harness struct {
	*moduletest.Service

	t        *testing.T
	security securityv1.SecurityServiceClient
	clock    *clock.Manual
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	c := clock.NewManual(time.Now().Truncate(time.Hour).Add(30 * time.Minute))
	s := moduletest.Start(t, security.Module, append([]moduletest.Option{
		moduletest.Config(map[string]any{"detect_every": "1s"}), moduletest.Clock(c),
	}, opts...)...)
	return &harness{Service: s, t: t, security: securityv1.NewSecurityServiceClient(s.Client("gateway")), clock: c}
}

// operator may see and acknowledge security events.
func (h *harness) operator() context.Context { return h.AsUser("usr_9", "operator") }

// reportOf returns a report of now.
func (h *harness) reportOf(observations ...*securityv1.Observation) *securityv1.ReportObservationsRequest {
	return &securityv1.ReportObservationsRequest{
		ReportId: id.New("rep"), At: timestamppb.New(h.clock.Now()), Observations: observations,
	}
}

func observed(kind, subject string, n int64) *securityv1.Observation {
	return &securityv1.Observation{Kind: kind, Subject: subject, Count: n}
}

func (h *harness) send(r *securityv1.ReportObservationsRequest) {
	h.t.Helper()
	_, err := h.security.ReportObservations(h.t.Context(), r)
	require.NoError(h.t, err)
}

func (h *harness) list(r *securityv1.ListSecurityEventsRequest) []*securityv1.SecurityEvent {
	h.t.Helper()
	res, err := h.security.ListSecurityEvents(h.operator(), r)
	require.NoError(h.t, err)
	return res.GetEvents()
}

// await waits until there are n security events, and returns them.
func (h *harness) await(n int) []*securityv1.SecurityEvent {
	h.t.Helper()
	var found []*securityv1.SecurityEvent
	waittest.Until(h.t, func() bool {
		found = h.list(&securityv1.ListSecurityEventsRequest{PageSize: 100})
		return len(found) >= n
	}, "there are not %d security events", n)
	require.Len(h.t, found, n)
	return found
}

// detected waits until the detectors have run to their end twice, so that at least one pass saw what there is now.
func (h *harness) detected() {
	h.t.Helper()
	for range 2 {
		h.clock.Advance(time.Second)
		now := float64(h.clock.Now().Unix())
		waittest.Until(h.t, func() bool { return h.Metric("security_last_detection_timestamp_seconds") >= now },
			"the detectors do not run")
	}
}

func (h *harness) count(sql string, args ...any) int64 {
	h.t.Helper()
	return moduletest.Value[int64](h.Service, sql, args...)
}

// tradeEvent returns an event of another service.
func (h *harness) tradeEvent(subject string, m proto.Message) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), subject, id.New("agg"), 1, h.clock.Now(), m)
	require.NoError(h.t, err)
	return e
}
