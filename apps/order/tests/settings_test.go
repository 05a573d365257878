package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// operatorSettings is a settings service with what an operator has set.
type operatorSettings struct {
	settingsv1.UnimplementedSettingsServiceServer
	mu       sync.Mutex
	snapshot *settingsv1.GetSnapshotResponse
	told     map[string]any // what order says that its configuration is
}

func (s *operatorSettings) GetSnapshot(
	_ context.Context, r *settingsv1.GetSnapshotRequest,
) (*settingsv1.GetSnapshotResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range r.GetConfigured() {
		s.told[key] = v.AsInterface()
	}
	return proto.CloneOf(s.snapshot), nil
}

func TestChangedSettingsApplyToTheNextCheckout(t *testing.T) {
	t.Parallel()
	s := &operatorSettings{snapshot: &settingsv1.GetSnapshotResponse{}, told: map[string]any{}}
	h := &harness{fakes: newFakes(), t: t}
	h.start(append(h.register(),
		moduletest.Config(map[string]any{"cash": map[string]any{"max_pieces": 6}}),
		moduletest.Fake("settings", func(r grpc.ServiceRegistrar) {
			settingsv1.RegisterSettingsServiceServer(r, s)
		})))
	s.mu.Lock()
	require.InDelta(t, 6, s.told["order.cash.max_pieces"], 0)
	require.Equal(t, "168h0m0s", s.told["order.expire_unpaid_after"])
	s.mu.Unlock()

	h.offer("var_cheap", "shp_1", "1.00", 1_000_000)
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	h.fill(guest.ID, line("var_cheap", 7))
	_, err := h.checkout(guest, "1", cash("a@example.com"))
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err), "%v", err)

	set := func(key string, v *structpb.Value) {
		s.mu.Lock()
		s.snapshot = &settingsv1.GetSnapshotResponse{Values: proto.CloneOf(s.snapshot).GetValues()}
		if s.snapshot.Values == nil {
			s.snapshot.Values = map[string]*structpb.Value{}
		}
		s.snapshot.Values[key] = v
		s.mu.Unlock()
		changed := h.Metric("settings_change_total")
		e, err := event.New(t.Context(), "evt.settings.changed", key, 1, time.Now(),
			&settingsv1.SettingsChanged{Key: key, Version: 1})
		require.NoError(t, err)
		h.Publish(e, "settings")
		waittest.Until(t, func() bool { return h.Metric("settings_change_total") > changed }, "it is not applied")
	}
	set("order.cash.guests", structpb.NewBoolValue(true))
	_, err = h.checkout(guest, "2", cash("a@example.com"))
	require.ErrorContains(t, err, "at most 6 pieces, the cart has 7")
	set("order.cash.max_pieces", structpb.NewNumberValue(7))
	set("order.expire_unpaid_after", structpb.NewStringValue("48h"))
	began := time.Now()
	o, err := h.checkout(guest, "3", cash("a@example.com"))
	require.NoError(t, err)
	waits := moduletest.Value[time.Time](h.Service, `select expires_at from orders where id = $1`, o.GetId())
	require.WithinDuration(t, began.Add(48*time.Hour), waits, time.Minute)
	h.requireConsistent()
}
