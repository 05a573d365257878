package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// template is the data directory of a souk dev that has been started and stopped once.
var template struct {
	sync.Mutex
	dir  string
	made bool
}

// start starts a souk dev for the test, in a mode, with more environment variables and flags. It stops with the test.
func start(t testing.TB, mode string, env []string, flags ...string) *souk {
	t.Helper()
	dir, err := devstack.MemoryTempDir()
	require.NoError(t, err)
	args := append(append([]string{}, modes[mode]...), flags...)
	s := &souk{t: t, dir: filepath.Join(dir, "data"), addr: freeAddr(t), args: args, env: env}
	s.url = "http://" + s.addr
	t.Cleanup(func() {
		if s.process != nil { // nil if the start failed before
			s.stop()
			if t.Failed() {
				t.Logf("souk printed:\n%s\nlast log lines:\n%s", s.output, s.lastLogs(40))
			}
		}
		_ = os.RemoveAll(dir) // only a temporary directory would remain
	})
	s.copyTemplate()
	s.launch()
	return s
}

// copyTemplate gives s the data directory of a souk dev that was started once. A first start on an empty directory
// creates all databases, and takes four times as much CPU as another one.
func (s *souk) copyTemplate() {
	s.t.Helper()
	template.Lock()
	defer template.Unlock()
	if !template.made {
		first := &souk{t: s.t, dir: template.dir, addr: freeAddr(s.t)}
		first.launch()
		first.stop()
		// The provider would want the same port in each copy.
		require.NoError(s.t, os.RemoveAll(filepath.Join(template.dir, "oidc")))
		template.made = true
	}
	out, err := exec.Command("cp", "-a", template.dir, s.dir).CombinedOutput()
	require.NoError(s.t, err, string(out))
}

func freeAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", steadyPort(t))
}

// launch starts the process and waits until it is ready.
func (s *souk) launch() {
	s.t.Helper()
	s.begin()
	select {
	case <-s.output.ready:
	case <-s.exited:
		require.Fail(s.t, "souk ended instead of starting", s.output.String())
	case <-time.After(startTimeout):
		require.Fail(s.t, "souk did not start in time", s.output.String()+s.lastLogs(40))
	}
}

// begin starts the process and does not wait.
func (s *souk) begin() {
	s.t.Helper()
	s.process = startProcess(s.t, s.env, append([]string{"dev", "--data-dir", s.dir, "--http", s.addr}, s.args...)...)
}

// stop ends souk as Ctrl-C does and waits for it.
func (s *souk) stop() {
	s.t.Helper()
	if !s.process.stop() {
		s.t.Errorf("souk did not stop within %s of SIGINT\n%s", stopTimeout, s.lastLogs(40))
	}
}

func (s *souk) lastLogs(n int) string {
	raw, err := os.ReadFile(filepath.Join(s.dir, "souk.log"))
	if err != nil {
		return err.Error()
	}
	return lastWarnings(string(raw), n)
}
