package moduletest

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/event"
	"souk/pkg/waittest"
)

// settings is the settings service of the processes of a test, unless the test fakes another one.
type settings struct {
	settingsv1.UnimplementedSettingsServiceServer
	mu         sync.Mutex
	values     map[string]*structpb.Value
	configured map[string]any
}

func newSettings() *settings {
	return &settings{values: map[string]*structpb.Value{}, configured: map[string]any{}}
}

func (s *settings) register(r grpc.ServiceRegistrar) { settingsv1.RegisterSettingsServiceServer(r, s) }

// GetSnapshot implements settingsv1.SettingsServiceServer.
func (s *settings) GetSnapshot(
	_ context.Context, r *settingsv1.GetSnapshotRequest,
) (*settingsv1.GetSnapshotResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range r.GetConfigured() {
		s.configured[key] = v.AsInterface()
	}
	return &settingsv1.GetSnapshotResponse{Values: maps.Clone(s.values)}, nil
}

// Configured returns the system settings that the service has in its configuration, as it has sent them.
func (s *Service) Configured() map[string]any {
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	return maps.Clone(s.settings.configured)
}

// Set sets a system setting, as an operator does, and waits until the service applies it. The value must change.
func (s *Service) Set(key string, value any) {
	s.t.Helper()
	v, err := structpb.NewValue(value)
	require.NoError(s.t, err)
	const applied = "settings_change_total"
	before := s.Metric(applied)
	s.settings.mu.Lock()
	s.settings.values[key] = v
	s.settings.mu.Unlock()
	e, err := event.New(
		s.t.Context(),
		"evt.settings.changed",
		key,
		1,
		time.Now(),
		&settingsv1.SettingsChanged{Key: key},
	)
	require.NoError(s.t, err)
	s.Publish(e, "settings")
	waittest.Until(s.t, func() bool { return s.Metric(applied) > before }, "%s is not applied", key)
}
