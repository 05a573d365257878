package dev

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryThreadAndItsChildrenGetTheBatchPolicy(t *testing.T) {
	t.Parallel()
	const variable = "SOUK_TEST_SCHEDULE_AS_BATCH"
	if os.Getenv(variable) == "" { // run it in a separate process, because the policy can't be taken back
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), variable+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	require.NoError(t, scheduleAsBatch())
	files, err := filepath.Glob("/proc/self/task/*/stat")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "3", policy(t, string(raw)), file)
	}
	child, err := exec.Command("cat", "/proc/self/stat").Output()
	require.NoError(t, err)
	require.Equal(t, "3", policy(t, string(child)))
}

// policy returns the scheduling policy, which is field 41 of proc_pid_stat(5).
func policy(t *testing.T, stat string) string {
	t.Helper()
	const after = 38 // index after the cut, which removes fields 1 and 2; field 2 is a name that may hold spaces
	_, rest, ok := strings.Cut(stat, ") ")
	require.True(t, ok)
	return strings.Fields(rest)[after]
}
