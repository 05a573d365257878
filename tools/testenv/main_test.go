package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// build builds the program. Its servers use the test's own temporary folder, so that left-over files are found.
func build(t *testing.T) (program, temp string, env []string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "testenv")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	temp, err = os.MkdirTemp("", "testenv-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(temp, 0o1777)) // the mode of /tmp
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(temp)) })
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SOUK_TEST_") {
			env = append(env, v)
		}
	}
	return program, temp, append(env, "TMPDIR="+temp)
}

func left(t *testing.T, temp string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(temp, "*"))
	require.NoError(t, err)
	return names
}

func TestCommandRunsWithServersThatEndWithIt(t *testing.T) {
	t.Parallel()
	program, temp, env := build(t)

	t.Run("exports the addresses and exits with the command's code", func(t *testing.T) {
		var out bytes.Buffer
		cmd := exec.Command(program, "--", "sh", "-c",
			`echo "$SOUK_TEST_POSTGRES_URL $SOUK_TEST_REDIS_ADDR"; test -S "$SOUK_TEST_REDIS_ADDR" && exit 7`)
		cmd.Env, cmd.Stdout = env, &out
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit)
		require.Equal(t, 7, exit.ExitCode())
		require.Contains(t, out.String(), "postgres://")
		require.Empty(t, left(t, temp))
	})
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name+" ends the command and the servers", func(t *testing.T) {
			cmd := exec.Command(program, "--", "sh", "-c",
				`trap 'exit 9' TERM INT; echo ready; while :; do sleep 0.05; done`)
			cmd.Env = env
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = out.Read(make([]byte, 16)) // ready
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(sig))
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Wait(), &exit)
			require.Equal(t, 9, exit.ExitCode())
			require.Empty(t, left(t, temp))
		})
	}
	for kind, want := range map[string]string{"cluster": "127.0.0.1", "sentinel": "127.0.0.1", "nonsense": ""} {
		t.Run("SOUK_TEST_REDIS="+kind, func(t *testing.T) {
			cmd := exec.Command(program, "--", "sh", "-c", `echo "$SOUK_TEST_REDIS $SOUK_TEST_REDIS_ADDR"`)
			cmd.Env = append(slices.Clone(env), "SOUK_TEST_REDIS="+kind, "SOUK_TEST_POSTGRES_URL=postgres://none")
			out, err := cmd.Output()
			require.Equal(t, want != "", err == nil, "%v", err)
			require.Contains(t, string(out), want)
			require.Empty(t, left(t, temp))
		})
	}
	t.Run("no command", func(t *testing.T) {
		var exit *exec.ExitError
		require.ErrorAs(t, exec.Command(program).Run(), &exit)
		require.Equal(t, 125, exit.ExitCode())
	})
}
