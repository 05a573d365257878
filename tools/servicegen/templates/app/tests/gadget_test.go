//go:build !none

package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/moduletest"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

const (
	gadgetOwner   = "usr_00000000000000000000000000000001"
	gadgetVisitor = "usr_00000000000000000000000000000002"
)

func (h *harness) createGadget(t *testing.T, name string) *samplev1.Gadget {
	t.Helper()
	req := &samplev1.CreateGadgetRequest{Name: name}
	res, err := h.sample.CreateGadget(h.AsUser(gadgetOwner), req)
	require.NoError(t, err)
	return res.GetGadget()
}

func TestGadgetsAreCreatedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser(gadgetOwner)
	v := h.createGadget(t, "  First ")
	require.Equal(t, "First", v.GetName())

	name := "Second"
	change := &samplev1.UpdateGadgetRequest{Id: v.GetId(), Name: &name}
	updated, err := h.sample.UpdateGadget(ctx, change)
	require.NoError(t, err)
	require.Equal(t, "Second", updated.GetGadget().GetName())
	_, err = h.sample.UpdateGadget(ctx, change)
	require.NoError(t, err, "a change to the same value appends no event")
	got, err := h.sample.GetGadget(ctx, &samplev1.GetGadgetRequest{Id: v.GetId()})
	require.NoError(t, err)
	require.Equal(t, "Second", got.GetGadget().GetName())

	_, err = h.sample.DeleteGadget(ctx, &samplev1.DeleteGadgetRequest{Id: v.GetId()})
	require.NoError(t, err)
	_, err = h.sample.GetGadget(ctx, &samplev1.GetGadgetRequest{Id: v.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.sample.DeleteGadget(ctx, &samplev1.DeleteGadgetRequest{Id: v.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	require.Equal(t, []string{
		"evt.sample.gadget_created",
		"evt.sample.gadget_updated",
		"evt.sample.gadget_deleted",
	}, h.Events(v.GetId()))
}

func TestInvalidNamesOfGadgetsAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, v := h.AsUser(gadgetOwner), h.createGadget(t, "First")
	for _, name := range []string{"", "  ", "a\x00b"} {
		_, err := h.sample.CreateGadget(ctx, &samplev1.CreateGadgetRequest{Name: name})
		require.True(t, errs.Is(err, errs.Invalid), "%q: %v", name, err)
		change := &samplev1.UpdateGadgetRequest{Id: v.GetId(), Name: &name}
		_, err = h.sample.UpdateGadget(ctx, change)
		require.True(t, errs.Is(err, errs.Invalid), "%q: %v", name, err)
		require.Equal(t, "name", errs.From(err).Fields[0].Path)
	}
	require.Len(t, h.Events(v.GetId()), 1)
}

func TestGadgetsOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	h := setup(t)
	v, name := h.createGadget(t, "First"), "Mine"
	ctx := h.AsUser(gadgetVisitor)
	_, err := h.sample.GetGadget(ctx, &samplev1.GetGadgetRequest{Id: v.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	change := &samplev1.UpdateGadgetRequest{Id: v.GetId(), Name: &name}
	_, err = h.sample.UpdateGadget(ctx, change)
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.sample.DeleteGadget(ctx, &samplev1.DeleteGadgetRequest{Id: v.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	list, err := h.sample.ListGadgets(ctx, &samplev1.ListGadgetsRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetGadgets())
}

func TestListOfGadgetsIsCompleteAtAnyPageSize(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser(gadgetOwner)
	var want []string
	for range 5 {
		want = append(want, h.createGadget(t, "One of five").GetId())
	}
	for _, size := range []int32{1, 2, 5, 100} {
		var found []string
		for token := ""; ; {
			req := &samplev1.ListGadgetsRequest{PageSize: size, PageToken: token}
			res, err := h.sample.ListGadgets(ctx, req)
			require.NoError(t, err)
			for _, v := range res.GetGadgets() {
				found = append(found, v.GetId())
			}
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, want, found, "size %d", size)
	}
	_, err := h.sample.ListGadgets(ctx, &samplev1.ListGadgetsRequest{PageToken: "made up"})
	require.True(t, errs.Is(err, errs.Invalid), err)
}

func TestEventsOfGadgetsArePublished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	sub, err := h.NATS.SubscribeSync("evt.sample.>")
	require.NoError(t, err)
	require.NoError(t, h.NATS.Flush())
	v := h.createGadget(t, "First")
	msg, err := sub.NextMsg(10 * time.Second)
	require.NoError(t, err)
	e, err := event.FromMsg(msg.Subject, msg.Header, msg.Data)
	require.NoError(t, err)
	var created samplev1.GadgetCreated
	require.NoError(t, e.Decode(&created))
	require.Equal(t, v.GetId(), created.GetGadgetId())
	require.Equal(t, gadgetOwner, created.GetOwnerId())
}

func TestReadOnlyServiceRefusesChangesOfGadgets(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"read_only": true}))
	ctx := h.AsUser(gadgetOwner)
	_, err := h.sample.CreateGadget(ctx, &samplev1.CreateGadgetRequest{Name: "First"})
	require.True(t, errs.Is(err, errs.Unavailable), err)
	_, err = h.sample.ListGadgets(ctx, &samplev1.ListGadgetsRequest{})
	require.NoError(t, err)
}
