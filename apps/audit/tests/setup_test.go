package tests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/apps/audit"
	auditv1 "souk/gen/go/souk/audit/v1"
	trail "souk/pkg/audit"
	"souk/pkg/event"
	"souk/pkg/moduletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the audit service, and a client of it.
type harness struct {
	*moduletest.Service
	audit auditv1.AuditServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	s := moduletest.Start(t, audit.Module, append([]moduletest.Option{
		moduletest.Config(map[string]any{"checkpoint_every": "1s", "verify_every": "1s"}),
	}, opts...)...)
	return &harness{Service: s, audit: auditv1.NewAuditServiceClient(s.Client("gateway"))}
}

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// record makes n entries, by the shop service.
func (h *harness) record(t *testing.T, n int) {
	t.Helper()
	events := make([]event.Event, n)
	for i := range events {
		call := trail.Call{
			ActorKind:  "user",
			ActorID:    fmt.Sprintf("usr_%d", i%2),
			Roles:      []string{"operator"},
			Permission: "shop.moderate",
			Method:     "shop.SuspendShop",
			Address:    "203.0.113.7",
			RequestID:  "r1",
		}
		action := trail.ActionRead
		if i%3 == 0 {
			action = "shop.suspended"
		}
		var err error
		events[i], err = trail.NewEvent(call, action, fmt.Sprintf("shp_%d", i), trail.ResultOK,
			noon.Add(time.Duration(i)*time.Minute))
		require.NoError(t, err)
	}
	h.Deliver("shop", events...)
}

// auditor may read the trail.
func (h *harness) auditor() context.Context { return h.AsUser("usr_9", "auditor") }
