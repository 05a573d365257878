package tests

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
)

// Lists of texts may be large: the history has fewer versions of them, and the last one in any case.
func TestHistoryOfLargeTextsIsBounded(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const words = "comment.hold_words"
	set := func(version int32, list []any) error {
		v, err := structpb.NewValue(list)
		require.NoError(t, err)
		_, err = h.client.UpdateSetting(h.asOperator(),
			&settingsv1.UpdateSettingRequest{Key: words, Value: v, ExpectedVersion: version})
		return err
	}
	list := make([]any, 650)
	for i := range list {
		list[i] = fmt.Sprintf("%0100d", i)
	}
	const changes = 12
	for version := range int32(changes) {
		require.NoError(t, set(version, list[version:]))
	}
	requireCode(t, errs.Invalid, set(changes, []any{""}))
	res, err := h.client.ListSettingVersions(h.asOperator(), &settingsv1.ListSettingVersionsRequest{Key: words})
	require.NoError(t, err)
	require.Len(t, res.GetVersions(), 7)
	require.EqualValues(t, changes, res.GetVersions()[0].GetVersion())
	require.Len(t, res.GetVersions()[0].GetValue().GetListValue().GetValues(), len(list)-changes+1)
	h.requireInvariants()
}
