package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"souk/pkg/failpoint"
)

const (
	// restartWait is the wait before a dead process is started again. It doubles, up to restartMost, while the process
	// does not become ready.
	restartWait = 200 * time.Millisecond
	restartMost = 5 * time.Second
	readyFD     = 3 // the file descriptor on which a child reports that it is ready
)

// runSplit runs every service as its own process and restarts a process that dies.
func (d *run) runSplit(ctx context.Context) (err error) {
	if _, err := d.configuration(os.Environ()); err != nil { // one clear error, not one per process
		return err
	}
	raw, err := yaml.Marshal(d.settings())
	if err != nil {
		return err
	}
	file := d.home.path("souk.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	children := make([]*child, len(d.o.Modules))
	see := " (see " + d.logs.Name() + ")"
	if d.o.Ephemeral && d.o.LogFile == "" { // the log is removed with the data directory
		see = ""
	}
	for i, m := range d.o.Modules {
		children[i] = &child{
			name: m.Name, config: file, out: d.out, see: see, logs: d.logs, log: d.log,
			ready: make(chan string, 1), quit: make(chan struct{}), done: make(chan struct{}),
		}
		if d.o.MTLS {
			children[i].certificate = certificateEnviron(d.stack.pki.Config(m.Name))
		}
	}
	d.stack.control.setProcesses(func() []Process {
		var list []Process
		for _, c := range children {
			if p := c.info(); p.PID > 0 {
				list = append(list, p)
			}
		}
		return list
	})
	// Children are stopped one by one in reverse order, so the gateway stops first.
	started := 0
	defer func() {
		for i := started - 1; i >= 0; i-- {
			children[i].stop()
		}
	}()
	admin := ""
	await := func(c *child) error {
		select {
		case admin = <-c.ready:
			return nil
		case <-ctx.Done():
			return childError(ctx)
		}
	}
	for i, c := range children {
		started++
		go c.keepRunning(cancel)
		if i > 0 {
			continue
		}
		if err := await(c); err != nil { // the others connect to NATS through natsauth
			return err
		}
	}
	for _, c := range children[1:] {
		if err := await(c); err != nil {
			return err
		}
	}
	if err := d.ready(ctx, admin); err != nil {
		return err
	}
	<-ctx.Done()
	return childError(ctx)
}

// childError returns the error of the child that ended the context; nil if no child did.
func childError(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// child runs the process of one service.
type child struct {
	name   string
	config string
	out    io.Writer // the terminal
	see    string    // appended to messages: where the log is
	logs   *os.File
	log    *zap.Logger
	ready  chan string   // the admin address, once
	quit   chan struct{} // closed by stop
	done   chan struct{}
	// certificate are variables that name the files of the process's certificate.
	certificate []string

	mu       sync.Mutex
	process  *os.Process
	stopping bool
	wasReady bool
	admin    string
}

// info describes the process. Its PID is 0 while no process runs.
func (c *child) info() Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := Process{Name: c.name, Admin: c.admin}
	if c.process != nil {
		p.PID = c.process.Pid
	}
	return p
}

// keepRunning starts the process and restarts it whenever it dies. If it dies before it was ever ready, keepRunning
// stops souk dev with an error, because it would die again.
func (c *child) keepRunning(fail context.CancelCauseFunc) {
	defer close(c.done)
	for wait := restartWait; ; wait = min(2*wait, restartMost) {
		ready, err := c.once()
		c.mu.Lock()
		stopping, wasReady := c.stopping, c.wasReady
		c.process = nil
		c.mu.Unlock()
		if stopping {
			return
		}
		if !wasReady {
			fail(fmt.Errorf("%s did not start: %w%s", c.name, err, c.see))
			return
		}
		c.log.Warn("process died and is started again", zap.String("process", c.name), zap.Error(err))
		if ready {
			wait = restartWait
		} else {
			fmt.Fprintf(c.out, "%s can't start again: %v; next try in %v%s\n", c.name, err, wait, c.see)
		}
		select {
		case <-c.quit:
		case <-time.After(wait):
		}
	}
}

// once runs the process until it ends and reports whether it became ready.
func (c *child) once() (ready bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer func() { _ = readyR.Close() }() // the pipe is only read
	//nolint:gosec // it runs this program itself
	cmd := exec.Command(self, "run",
		"--target="+c.name, "--config="+c.config, "--migrate", fmt.Sprintf("--ready-fd=%d", readyFD))
	cmd.Env = c.environ()
	cmd.Stdout, cmd.Stderr = c.logs, c.logs
	cmd.ExtraFiles = []*os.File{readyW}
	cmd.SysProcAttr = childAttr() // its own session, so that Ctrl-C in the terminal reaches only the parent
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		return false, errors.Join(readyW.Close(), errors.New("stopping"))
	}
	err = cmd.Start()
	if err == nil {
		c.process = cmd.Process
	}
	c.mu.Unlock()
	if cerr := readyW.Close(); err != nil || cerr != nil {
		return false, errors.Join(err, cerr)
	}
	line, rerr := bufio.NewReader(readyR).ReadString('\n') // fails if the process ends first
	line = strings.TrimSpace(line)
	reason, failed := strings.CutPrefix(line, failedPrefix)
	if ready = rerr == nil && !failed; ready {
		c.mu.Lock()
		first := !c.wasReady
		c.wasReady = true
		c.admin = line
		c.mu.Unlock()
		if first {
			c.ready <- line
		}
	}
	err = cmd.Wait()
	if failed {
		err = errors.New(reason)
	}
	return ready, err
}

// environ returns the process's environment. A restarted process gets no failpoints, or it would end at the same
// place again and again.
func (c *child) environ() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	env := append(splitEnviron(os.Environ(), runtime.GOMAXPROCS(0)), c.certificate...)
	if !c.wasReady {
		return env
	}
	for i, kv := range env {
		if strings.HasPrefix(kv, failpoint.Variable+"=") {
			env[i] = failpoint.Variable + "="
		}
	}
	return env
}

// stop ends the process and waits for it. It kills the process after stopTimeout.
func (c *child) stop() {
	close(c.quit)
	c.mu.Lock()
	c.stopping = true
	p := c.process
	c.mu.Unlock()
	if p != nil {
		_ = p.Signal(syscall.SIGTERM) // it may have ended by itself
	}
	select {
	case <-c.done:
	case <-time.After(stopTimeout):
		c.log.Error("process did not stop and is killed", zap.String("process", c.name))
		if p != nil {
			_ = p.Kill() // as above
		}
		<-c.done
	}
}
