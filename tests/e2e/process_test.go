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

// process is a souk process that a test started.
type process struct {
	cmd    *exec.Cmd
	output *tail
	exited chan struct{}
}

// tail keeps what a process printed, and tells of lines.
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

// startProcess starts souk with further variables in its environment.
func startProcess(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), output: &tail{ready: make(chan struct{})}, exited: make(chan struct{})}
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
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p
}

// stop ends the process as Ctrl-C does and waits for it. It reports false when it had to be killed.
func (p *process) stop() bool {
	select {
	case <-p.exited:
		return true
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended by itself
	select {
	case <-p.exited:
		return true
	case <-time.After(stopPatience):
		p.kill()
		return false
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// troubles are the last lines of a log that are more than information.
func troubles(log string, n int) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		if !strings.HasPrefix(line, `{"level":"info"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
