package dev

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitEnvironmentKeepsWhatTheUserSet(t *testing.T) {
	t.Parallel()
	const processors = 8
	for name, tt := range map[string]struct{ given, want []string }{
		"nothing was set": {nil, []string{"GOGC=400", "GOMEMLIMIT=102760448", "GOMAXPROCS=4"}},
		"set but empty": {
			[]string{"GOGC="}, []string{"GOGC=", "GOGC=400", "GOMEMLIMIT=102760448", "GOMAXPROCS=4"},
		},
		"the collector is set": {[]string{"GOGC=50"}, []string{"GOGC=50", "GOMAXPROCS=4"}},
		"the goal is set":      {[]string{"GOMEMLIMIT=1GiB"}, []string{"GOMEMLIMIT=1GiB", "GOMAXPROCS=4"}},
		"the processors are set": {
			[]string{"GOMAXPROCS=8"}, []string{"GOMAXPROCS=8", "GOGC=400", "GOMEMLIMIT=102760448"},
		},
		"a longer name is set": {
			[]string{"GOGCX=1"}, []string{"GOGCX=1", "GOGC=400", "GOMEMLIMIT=102760448", "GOMAXPROCS=4"},
		},
	} {
		require.Equal(t, tt.want, splitEnviron(tt.given, processors), name)
	}
	require.Contains(t, splitEnviron(nil, 1), "GOMAXPROCS=1")
}
