package tests

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"souk/apps/settings"
	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/setting"
	"souk/pkg/waittest"
)

func TestChangesAreVersionsWithAuthorAndHistory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	first := h.setting()
	require.Zero(t, first.GetVersion())
	require.False(t, first.GetIsSet())
	require.InDelta(t, 50, first.GetValue().GetNumberValue(), 0)
	require.Nil(t, first.UpdatedBy)

	s, err := h.set(h.asOperator(), 7, 0)
	require.NoError(t, err)
	require.InDelta(t, 7, s.GetValue().GetNumberValue(), 0)
	require.InDelta(t, 50, s.GetDefault().GetNumberValue(), 0)
	require.True(t, s.GetIsSet())
	require.EqualValues(t, 1, s.GetVersion())
	require.Equal(t, operator, s.GetUpdatedBy())
	s, err = h.set(h.AsUser("usr_other", permission.RoleOperator), nil, 1)
	require.NoError(t, err)
	require.False(t, s.GetIsSet())
	require.InDelta(t, 50, s.GetValue().GetNumberValue(), 0, "null takes it back")

	s, err = h.rollback(1)
	require.NoError(t, err)
	require.InDelta(t, 7, s.GetValue().GetNumberValue(), 0)
	require.EqualValues(t, 3, s.GetVersion(), "a new version with the old value")
	s, err = h.rollback(1)
	require.NoError(t, err)
	require.EqualValues(t, 3, s.GetVersion(), "a repetition changes nothing")
	_, err = h.rollback(4)
	requireCode(t, errs.Invalid, err)
	require.Equal(t, s.GetVersion(), h.setting().GetVersion())

	var got []string
	for _, v := range h.history() {
		require.NotNil(t, v.GetCreatedAt())
		got = append(got, fmt.Sprintf("%d %v %s", v.GetVersion(), v.GetValue().AsInterface(), v.GetAuthorId()))
	}
	require.Equal(t, []string{"3 7 usr_operator", "2 <nil> usr_other", "1 7 usr_operator"}, got)
	require.Equal(t, []string{"evt.settings.changed", "evt.settings.changed", "evt.settings.changed"}, h.Events(pieces))
	h.requireInvariants()
}

func TestRollbackToVersion0TakesASettingBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	s, err := h.rollback(0)
	require.NoError(t, err)
	require.Zero(t, s.GetVersion(), "it was never set")
	_, err = h.set(h.asOperator(), 7, 0)
	require.NoError(t, err)
	s, err = h.rollback(0)
	require.NoError(t, err)
	require.False(t, s.GetIsSet())
	require.EqualValues(t, 2, s.GetVersion())
}

func TestOneOfConcurrentChangesOfAVersionWins(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for version := range int32(3) {
		failures := moduletest.Concurrently(20, func(i int) error {
			_, err := h.set(h.asOperator(), 7+i%2, version)
			return err
		})
		won := 0
		for _, err := range failures {
			if err == nil {
				won++
				continue
			}
			requireCode(t, errs.Conflict, err)
		}
		require.Equal(t, 1, won)
		require.Equal(t, version+1, h.setting().GetVersion())
	}
	require.Len(t, h.history(), 3)
	require.Len(t, h.Events(pieces), 3, "a refused change publishes nothing")
}

func TestRepetitionAfterALostAnswerMakesNoSecondVersion(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.set(h.asOperator(), 7, 0)
	require.NoError(t, err)
	_, err = h.set(h.asOperator(), 7, 0) // the first answer was lost
	requireCode(t, errs.Conflict, err)
	s := h.setting()
	require.EqualValues(t, 1, s.GetVersion())
	require.Equal(t, operator, s.GetUpdatedBy(), "the setting shows that the change took effect")
	require.InDelta(t, 7, s.GetValue().GetNumberValue(), 0)
	require.Len(t, h.Events(pieces), 1)
}

func TestInvalidChangesAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, v := range []any{"7", true, -1, 7.5, map[string]any{}} {
		_, err := h.set(h.asOperator(), v, 0)
		requireCode(t, errs.Invalid, err)
		require.Equal(t, "value", errs.From(err).Fields[0].Path)
	}
	_, err := h.client.UpdateSetting(h.asOperator(), &settingsv1.UpdateSettingRequest{Key: pieces})
	requireCode(t, errs.Invalid, err)
	_, err = h.client.UpdateSetting(h.asOperator(), &settingsv1.UpdateSettingRequest{
		Key: "order.nothing", Value: structpb.NewBoolValue(true),
	})
	requireCode(t, errs.NotFound, err)
	_, err = h.set(h.AsUser("usr_customer"), 7, 0)
	requireCode(t, errs.Forbidden, err)
	_, err = h.set(h.asOperator(), 7, 1)
	requireCode(t, errs.Conflict, err)
	require.Zero(t, h.setting().GetVersion())
	require.Empty(t, h.Events(pieces))
}

func TestHistoryKeepsTheLast100Versions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for i := range int32(103) {
		_, err := h.set(h.asOperator(), i, i)
		require.NoError(t, err)
	}
	kept := h.history()
	require.Len(t, kept, 100)
	require.EqualValues(t, 103, kept[0].GetVersion())
	require.EqualValues(t, 4, kept[99].GetVersion())
	_, err := h.rollback(3)
	requireCode(t, errs.Invalid, err)
	s, err := h.rollback(4)
	require.NoError(t, err)
	require.InDelta(t, 3, s.GetValue().GetNumberValue(), 0)
	h.requireInvariants()
}

func TestConfigurationOfAServiceIsTheDefault(t *testing.T) {
	t.Parallel()
	h := setup(t)
	configured := func(v float64) *settingsv1.GetSnapshotRequest {
		return &settingsv1.GetSnapshotRequest{
			Configured: map[string]*structpb.Value{pieces: structpb.NewNumberValue(v)},
		}
	}
	for _, v := range []float64{9, 9, 12} {
		snapshot, err := h.order.GetSnapshot(t.Context(), configured(v))
		require.NoError(t, err)
		require.Empty(t, snapshot.GetValues(), "what is configured is not set")
	}
	require.InDelta(t, 12, h.setting().GetDefault().GetNumberValue(), 0)
	require.InDelta(t, 12, h.setting().GetValue().GetNumberValue(), 0)
	_, err := h.set(h.asOperator(), 7, 0)
	require.NoError(t, err)
	snapshot, err := h.order.GetSnapshot(t.Context(), configured(13))
	require.NoError(t, err)
	require.InDelta(t, 7, snapshot.GetValues()[pieces].GetNumberValue(), 0)
	require.InDelta(t, 13, h.setting().GetDefault().GetNumberValue(), 0)
	require.InDelta(t, 7, h.setting().GetValue().GetNumberValue(), 0, "a configuration does not change what is set")

	ofTomorrow := configured(13)
	ofTomorrow.Configured["order.of_tomorrow"] = structpb.NewBoolValue(true)
	_, err = h.order.GetSnapshot(t.Context(), ofTomorrow)
	require.NoError(t, err, "a newer version of the service still gets its settings")
	require.InDelta(t, 13, h.setting().GetDefault().GetNumberValue(), 0)

	cart := settingsv1.NewSettingsServiceClient(h.Client("cart"))
	_, err = cart.GetSnapshot(t.Context(), configured(1))
	requireCode(t, errs.Invalid, err)
	_, err = h.client.GetSnapshot(h.asOperator(), configured(1))
	requireCode(t, errs.Forbidden, err)
	require.InDelta(t, 13, h.setting().GetDefault().GetNumberValue(), 0)
}

func TestOnlyPublicSettingsAreShownToEveryone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.set(h.asOperator(), 7, 0)
	require.NoError(t, err)
	res, err := h.client.GetPublicSettings(h.As(identity.Anonymous()), &settingsv1.GetPublicSettingsRequest{})
	require.NoError(t, err)
	for _, d := range setting.All() {
		require.Equal(t, d.Public, res.GetSettings()[d.Key] != nil, d.Key)
	}
	require.InDelta(t, 7, res.GetSettings()[pieces].GetNumberValue(), 0)
}

func TestUserSettingsAreReplacedByTheirUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	get := func(userID string) *settingsv1.UserSettings {
		res, err := h.client.GetMySettings(h.AsUser(userID), &settingsv1.GetMySettingsRequest{})
		require.NoError(t, err)
		return res.GetSettings()
	}
	defaults := &settingsv1.UserSettings{Theme: "system", Density: "comfortable", ProductView: "grid", PageSize: 20}
	require.EqualExportedValues(t, defaults, get("usr_1"))
	dark, fifty := "dark", int32(50)
	failures := moduletest.Concurrently(5, func(int) error {
		_, err := h.client.UpdateMySettings(h.AsUser("usr_1"),
			&settingsv1.UpdateMySettingsRequest{Theme: &dark, PageSize: &fifty})
		return err
	})
	for _, err := range failures {
		require.NoError(t, err)
	}
	want := &settingsv1.UserSettings{Theme: "dark", Density: "comfortable", ProductView: "grid", PageSize: 50}
	require.EqualExportedValues(t, want, get("usr_1"))
	require.EqualExportedValues(t, defaults, get("usr_2"))
	res, err := h.client.UpdateMySettings(h.AsUser("usr_1"), &settingsv1.UpdateMySettingsRequest{})
	require.NoError(t, err)
	require.EqualExportedValues(t, defaults, res.GetSettings(), "what is left out has its default")
	pink := "pink"
	_, err = h.client.UpdateMySettings(h.AsUser("usr_1"), &settingsv1.UpdateMySettingsRequest{Theme: &pink})
	requireCode(t, errs.Invalid, err)
	require.Equal(t, "theme", errs.From(err).Fields[0].Path)
	_, err = h.client.GetMySettings(h.As(identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}),
		&settingsv1.GetMySettingsRequest{})
	requireCode(t, errs.Unauthenticated, err)
}

func TestInvariantsAreFalseOfBrokenData(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for i := range int32(3) {
		_, err := h.set(h.asOperator(), i, i)
		require.NoError(t, err)
	}
	_, err := h.putFlag("f", "on")
	require.NoError(t, err)
	for _, statement := range []string{
		`update doc_settings set doc = doc #- '{versions,1}'`, `update doc_flags set doc = doc #- '{variants,on}'`,
	} {
		_, err := h.Pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	findings, err := settings.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.Len(t, findings, 2)
	require.Equal(t, pieces, findings[0].Example)
	require.Equal(t, "f", findings[1].Example)
}

// requireInvariants checks what souk verify checks.
func (h *harness) requireInvariants() {
	h.t.Helper()
	waittest.Until(h.t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from outbox where sent_at is null`) == 0
	}, "an event is not published")
	findings, err := settings.Module.Verify(h.t.Context(), h.Pool)
	require.NoError(h.t, err)
	require.NotEmpty(h.t, findings)
	for _, f := range findings {
		require.Zero(h.t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
}
