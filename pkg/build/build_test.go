package build

import (
	"runtime/debug"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestInfoNamesVersionCommitAndGo(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "4f2d"}, {Key: "vcs.time", Value: "2026-11-29T12:00:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v1.2.0"
	require.Equal(t, "v1.2.0 (commit 4f2d+changes, 2026-11-29T12:00:00Z, go1.26.0)", from(info).String())
	info.Main.Version, info.Settings = "(devel)", nil
	require.Equal(t, "devel (go1.26.0)", from(info).String())
	require.NotEmpty(t, Read().Version)
	require.InDelta(t, 1, testutil.ToFloat64(Read().Metric()), 0)
}

func TestLinkerNamesTheBuildOfASourceWithoutRepository(t *testing.T) {
	t.Parallel()
	i := Info{Version: "devel", Go: "go1.26.0"}
	require.Equal(t, "v1.2.0 (commit 4f2d, 2026-11-29T12:00:00Z, go1.26.0)",
		i.stamped("v1.2.0", "4f2d", "2026-11-29T12:00:00Z").String())
	require.Equal(t, i, i.stamped("", "", ""))
}
