package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a souk process that a test has started.
type process struct {
	cmd    *exec.Cmd
	output *tail
	exited chan struct{}
}

// tail stores a process's output. It closes ready when the process prints that it is ready.
type tail struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan struct{}
	once  sync.Once
}

func (t *tail) follow(r io.Reader) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		t.mu.Lock()
		t.buf.WriteString(s.Text() + "\n")
		t.mu.Unlock()
		if strings.HasPrefix(s.Text(), "souk is ready on ") {
			t.once.Do(func() { close(t.ready) })
		}
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// startProcess starts souk with more variables in its environment.
func startProcess(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{
		cmd: exec.Command(binary, args...), output: &tail{ready: make(chan struct{})}, exited: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), env...)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	var wg sync.WaitGroup
	wg.Go(func() { p.output.follow(stdout) })
	wg.Go(func() { p.output.follow(stderr) })
	go func() {
		wg.Wait()
		_ = p.cmd.Wait() // tests read the exit status from ProcessState
		close(p.exited)
	}()
	return p
}

// stop ends the process as Ctrl-C does and waits for it. It reports false if it had to kill the process.
func (p *process) stop() bool {
	select {
	case <-p.exited:
		return true
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT) // the process may have ended by itself
	if p.waitExited() {
		return true
	}
	p.kill()
	return false
}

// kill ends the process as kill -9 does. It reports whether the process has ended within stopTimeout.
func (p *process) kill() bool {
	_ = p.cmd.Process.Kill() // the process may have ended by itself
	return p.waitExited()
}

// waitExited waits for the end of the process. It reports false after stopTimeout.
func (p *process) waitExited() bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(stopTimeout):
		return false
	}
}

// lastWarnings returns the last n lines of a log with a level above info.
func lastWarnings(log string, n int) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		if !strings.HasPrefix(line, `{"level":"info"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
