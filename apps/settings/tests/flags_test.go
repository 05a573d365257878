package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/flag"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestFlagsAreDecidedForTheCaller(t *testing.T) {
	t.Parallel()
	h := setup(t)
	text := structpb.NewStringValue
	_, err := h.client.UpdateFlag(h.asOperator(), &settingsv1.UpdateFlagRequest{
		Key: "banner", Description: "Colour of the banner", Enabled: true,
		Variants:       map[string]*structpb.Value{"red": text("#f00"), "blue": text("#00f"), "none": text("")},
		DefaultVariant: "none",
		Rules: []*settingsv1.FlagRule{
			{If: &settingsv1.FlagCondition{Roles: []string{"operator"}}, Variant: "red"},
			{If: &settingsv1.FlagCondition{Countries: []string{"BR"}, ShopIds: []string{"shp_1"}}, Variant: "blue"},
			{If: &settingsv1.FlagCondition{UserIds: []string{"gst_1"}}, Variant: "blue"},
		},
	})
	require.NoError(t, err)
	_, err = h.putFlag("half", "off", &settingsv1.FlagShare{Variant: "on", Percent: 50})
	require.NoError(t, err)

	require.Equal(t, map[string]any{"banner": "", "half": false}, h.flags(identity.Anonymous()))
	banner := func(a identity.Actor, country, shop string) string {
		res, err := h.client.GetMyFlags(h.As(a), &settingsv1.GetMyFlagsRequest{Country: country, ShopId: shop})
		require.NoError(t, err)
		return res.GetFlags()["banner"].GetStringValue()
	}
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1"}
	require.Equal(
		t,
		"#f00",
		banner(identity.Actor{Kind: identity.KindUser, ID: "u", Roles: []string{"operator"}}, "", ""),
	)
	require.Equal(t, "#00f", banner(user, "BR", "shp_1"))
	require.Empty(t, banner(user, "BR", "shp_2"))
	require.Equal(t, "#00f", banner(identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}, "", ""))
	on := 0
	for i := range 100 {
		guest := identity.Actor{Kind: identity.KindGuest, ID: fmt.Sprintf("gst_%d", i)}
		got := h.flags(guest)["half"]
		require.Equal(t, flag.Bucket("half", guest.ID) < flag.Buckets/2, got)
		require.Equal(t, got, h.flags(guest)["half"])
		if got == true {
			on++
		}
	}
	require.InDelta(t, 50, on, 20)
}

func TestFlagsHaveVersionsAndAreDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	f, err := h.putFlag("f", "on")
	require.NoError(t, err)
	require.EqualValues(t, 1, f.GetVersion())
	require.Equal(t, operator, f.GetUpdatedBy())
	again, err := h.putFlag("f", "on") // the first answer was lost
	require.NoError(t, err)
	require.EqualExportedValues(t, f, again)
	f, err = h.putFlag("f", "off")
	require.NoError(t, err)
	require.EqualValues(t, 2, f.GetVersion())

	expecting := func(version int32, variant string) error {
		_, err := h.client.UpdateFlag(h.asOperator(), &settingsv1.UpdateFlagRequest{
			Key: "f", DefaultVariant: variant, ExpectedVersion: &version,
			Variants: map[string]*structpb.Value{"on": structpb.NewBoolValue(true)},
		})
		return err
	}
	requireCode(t, errs.Conflict, expecting(0, "on"))
	requireCode(t, errs.Conflict, expecting(1, "on"))
	require.NoError(t, expecting(2, "on"))
	requireCode(t, errs.Invalid, expecting(3, "off"))
	listed, err := h.client.ListFlags(h.asOperator(), &settingsv1.ListFlagsRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetFlags(), 1)
	require.EqualValues(t, 3, listed.GetFlags()[0].GetVersion())
	require.Equal(t, map[string]any{"f": true}, h.flags(identity.Anonymous()))

	_, err = h.client.DeleteFlag(h.asOperator(), &settingsv1.DeleteFlagRequest{Key: "f"})
	require.NoError(t, err)
	require.Empty(t, h.flags(identity.Anonymous()))
	_, err = h.client.DeleteFlag(h.asOperator(), &settingsv1.DeleteFlagRequest{Key: "f"})
	requireCode(t, errs.NotFound, err)
	require.Len(t, h.Events("f"), 4)
	h.requireInvariants()
}

func TestConcurrentChangesOfAFlagAreAllOrNone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	failures := moduletest.Concurrently(10, func(i int) error {
		_, err := h.putFlag("f", "off", &settingsv1.FlagShare{Variant: "on", Percent: float64(i)})
		return err
	})
	for _, err := range failures {
		require.NoError(t, err)
	}
	listed, err := h.client.ListFlags(h.asOperator(), &settingsv1.ListFlagsRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 10, listed.GetFlags()[0].GetVersion())
	require.Len(t, h.Events("f"), 10)
}

func TestFlagsAreBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	// A hundred flags of the greatest size fit into the message that every process gets.
	for i := range flag.MaxFlags {
		_, err := h.client.UpdateFlag(h.asOperator(), &settingsv1.UpdateFlagRequest{
			Key: fmt.Sprintf("f%d", i), DefaultVariant: "v", Enabled: true,
			Variants: map[string]*structpb.Value{"v": structpb.NewStringValue(strings.Repeat("x", flag.MaxBytes-100))},
		})
		require.NoError(t, err)
	}
	_, err := h.putFlag("one-more", "on")
	requireCode(t, errs.Conflict, err)
	_, err = h.putFlag("f0", "on")
	require.NoError(t, err)
	require.Len(t, h.flags(identity.Anonymous()), flag.MaxFlags)
	_, err = h.client.UpdateFlag(h.asOperator(), &settingsv1.UpdateFlagRequest{
		Key: "f1", DefaultVariant: "v",
		Variants: map[string]*structpb.Value{"v": structpb.NewStringValue(strings.Repeat("x", flag.MaxBytes))},
	})
	requireCode(t, errs.Invalid, err)
}

func TestChangesReachEveryProcessWithinASecond(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const applied = "settings_change_total"
	other := h.Another()
	before, beforeOther := h.Metric(applied), other.Metric(applied)
	for i, variant := range []string{"on", "off", "on"} {
		began, changes := time.Now(), float64(i+1)
		_, err := h.putFlag("f", variant) // one of the processes answers
		require.NoError(t, err)
		waittest.Until(t, func() bool {
			return h.Metric(applied) == before+changes && other.Metric(applied) == beforeOther+changes
		}, "a process does not apply the change")
		require.Less(t, time.Since(began), time.Second)
	}
}

func TestFlagsAreDecidedWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.putFlag("f", "on")
	require.NoError(t, err)
	_, err = h.Pool.Exec(t.Context(), `alter table doc_flags rename to doc_flags_away`)
	require.NoError(t, err)
	_, err = h.client.ListFlags(h.asOperator(), &settingsv1.ListFlagsRequest{})
	require.Error(t, err)
	require.Equal(t, map[string]any{"f": true}, h.flags(identity.Anonymous()))
}
