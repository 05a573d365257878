package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
	"souk/tools/internal/repo"
)

// TestServicesAreServedAndPassTheirTests copies the tree, adds a service of each shape and database, builds souk, runs
// the services' tests and calls them. It takes a minute.
func TestServicesAreServedAndPassTheirTests(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	from, err := repo.Root()
	require.NoError(t, err)
	root := t.TempDir()
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, e := range entries {
		at := filepath.Join(from, e.Name())
		switch {
		case e.Name() == ".git", e.Name() == ".cache", e.Name() == ".souk", e.Name() == "bin":
		case e.IsDir():
			require.NoError(t, os.CopyFS(filepath.Join(root, e.Name()), os.DirFS(at)))
		default:
			text, err := os.ReadFile(at)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(root, e.Name()), text, 0o644))
		}
	}
	command := func(name string, args ...string) {
		t.Helper()
		began := time.Now()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -pgo=off") // a profile has all compiled again
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %s\n%s", name, args, out)
		t.Logf("%s %s: %s", name, strings.Join(args, " "), time.Since(began).Round(time.Second))
	}
	tests := []string{"test", "./cmd/souk", "./tests/arch"}
	for name, args := range combinations {
		require.NoError(t, run(root, append(strings.Fields(args), "--name="+name), io.Discard))
		tests = append(tests, "./apps/"+name+"/...")
	}
	command("make", "generate")
	command("go", "build", "-o", "bin/souk", "./cmd/souk")
	command("go", tests...)

	url := start(t, root)
	for path, status := range map[string]int{
		"/v1/lists": http.StatusUnauthorized, "/v1/topics": http.StatusUnauthorized, "/v1/loans": http.StatusUnauthorized,
		"/v1/people": http.StatusUnauthorized, "/v1/absent": http.StatusNotFound,
		"/v1/halves/split?amount=10.00&currencyCode=BRL&parts=2": http.StatusOK,
		"/v1/shares/split?amount=10.00&currencyCode=BRL&parts=3": http.StatusOK,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode, path)
	}
}

// start runs souk dev until the test ends, and returns the URL of its API.
func start(t *testing.T, root string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	data, err := os.MkdirTemp("", "souk") // shorter than t.TempDir: it holds unix sockets
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(data)) })

	cmd := exec.CommandContext(t.Context(), "bin/souk", "dev", "--ephemeral", "--http", addr, "--data-dir", data+"/dev")
	cmd.Dir, cmd.WaitDelay = root, waittest.Timeout
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	ready, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if _, url, ok := strings.Cut(lines.Text(), "souk is ready on "); ok {
				ready <- url
			}
		}
	}()
	t.Cleanup(func() {
		waittest.Receive(t, ended)
		_ = cmd.Wait() // the end of the test's context interrupted it
	})
	return waittest.Receive(t, ready)
}
