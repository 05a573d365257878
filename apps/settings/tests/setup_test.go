package tests

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/structpb"

	"souk/apps/settings"
	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	operator = "usr_operator"
	pieces   = "order.cash.max_pieces"
)

// harness is the settings service, and clients of it over NATS.
type harness struct {
	*moduletest.Service
	t             *testing.T
	client, order settingsv1.SettingsServiceClient // as the gateway, as the order service
}

func setup(t *testing.T) *harness {
	t.Helper()
	return of(t, moduletest.Start(t, settings.Module, moduletest.OverNATS()))
}

func of(t *testing.T, s *moduletest.Service) *harness {
	client := func(name string) settingsv1.SettingsServiceClient {
		return settingsv1.NewSettingsServiceClient(s.Client(name))
	}
	return &harness{Service: s, t: t, client: client("gateway"), order: client("order")}
}

// asOperator returns the context of an operator's call.
func (h *harness) asOperator() context.Context { return h.AsUser(operator, permission.RoleOperator) }

// set sets the most pieces of an order with cash on delivery.
func (h *harness) set(ctx context.Context, value any, expected int32) (*settingsv1.Setting, error) {
	h.t.Helper()
	v, err := structpb.NewValue(value)
	require.NoError(h.t, err)
	res, err := h.client.UpdateSetting(ctx,
		&settingsv1.UpdateSettingRequest{Key: pieces, Value: v, ExpectedVersion: expected})
	return res.GetSetting(), err
}

func (h *harness) rollback(version int32) (*settingsv1.Setting, error) {
	res, err := h.client.RollbackSetting(h.asOperator(),
		&settingsv1.RollbackSettingRequest{Key: pieces, Version: &version})
	return res.GetSetting(), err
}

func (h *harness) history() []*settingsv1.SettingVersion {
	h.t.Helper()
	res, err := h.client.ListSettingVersions(h.asOperator(), &settingsv1.ListSettingVersionsRequest{Key: pieces})
	require.NoError(h.t, err)
	return res.GetVersions()
}

// setting returns the setting of the most pieces, as operators see it.
func (h *harness) setting() *settingsv1.Setting {
	h.t.Helper()
	res, err := h.client.ListSettings(h.asOperator(), &settingsv1.ListSettingsRequest{})
	require.NoError(h.t, err)
	for _, s := range res.GetSettings() {
		if s.GetKey() == pieces {
			return s
		}
	}
	require.Fail(h.t, "the setting is not listed")
	return nil
}

// putFlag stores a flag with the variants on and off.
func (h *harness) putFlag(key, variant string, rollout ...*settingsv1.FlagShare) (*settingsv1.Flag, error) {
	res, err := h.client.UpdateFlag(h.asOperator(), &settingsv1.UpdateFlagRequest{
		Key: key, Enabled: true, DefaultVariant: variant, Rollout: rollout,
		Variants: map[string]*structpb.Value{"on": structpb.NewBoolValue(true), "off": structpb.NewBoolValue(false)},
	})
	return res.GetFlag(), err
}

// flags decides the flags for an actor.
func (h *harness) flags(a identity.Actor) map[string]any {
	h.t.Helper()
	res, err := h.client.GetMyFlags(h.As(a), &settingsv1.GetMyFlagsRequest{})
	require.NoError(h.t, err)
	out := map[string]any{}
	for key, v := range res.GetFlags() {
		out[key] = v.AsInterface()
	}
	return out
}

func requireCode(t *testing.T, code errs.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, errs.CodeOf(err), "%v", err)
}
