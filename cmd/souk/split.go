package main

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
	"gopkg.in/yaml.v3"

	"souk/pkg/failpoint"
)

const (
	restartWait = 200 * time.Millisecond // before a process that died is started again; doubles while it does not get ready
	restartMost = 5 * time.Second
	readyFD     = 3 // where a child says that it is ready
)

// split runs every service as a process of its own and starts one that dies again.
func (d *devRun) split(ctx context.Context) (err error) {
	if _, err := d.configuration(os.Environ()); err != nil { // one clear error, not one a process
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
	all := modules()
	children := make([]*child, len(all))
	see := " (see " + d.logs.Name() + ")"
	if d.o.ephemeral && d.o.logFile == "" { // it goes with the data directory
		see = ""
	}
	for i, m := range all {
		children[i] = &child{name: m.Name, config: file, out: d.out, see: see, logs: d.logs, log: d.log, ready: make(chan string, 1), quit: make(chan struct{}), done: make(chan struct{})}
	}
	d.stack.control.setProcesses(func() []processInfo {
		var list []processInfo
		for _, c := range children {
			if p := c.info(); p.PID > 0 {
				list = append(list, p)
			}
		}
		return list
	})
	// Children end in reverse, the gateway first, each told on its own.
	started := 0
	defer func() {
		for i := started - 1; i >= 0; i-- {
			children[i].stop()
		}
	}()
	for _, c := range children {
		started++
		go c.keepRunning(cancel)
	}
	admin := ""
	for _, c := range children {
		select {
		case admin = <-c.ready:
		case <-ctx.Done():
			return childError(ctx)
		}
	}
	if err := d.ready(ctx, admin); err != nil {
		return err
	}
	<-ctx.Done()
	return childError(ctx)
}

// childError is why the context ended, if that was a child's doing.
func childError(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// child is a service's process.
type child struct {
	name   string
	config string
	out    io.Writer // the terminal
	see    string    // where more is told, for messages
	logs   *os.File
	log    *zap.Logger
	ready  chan string   // the admin address, once
	quit   chan struct{} // closed by stop
	done   chan struct{}

	mu       sync.Mutex
	process  *os.Process
	stopping bool
	wasReady bool
	admin    string
}

// info tells of the process; its PID is 0 while there is none.
func (c *child) info() processInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := processInfo{Name: c.name, Admin: c.admin}
	if c.process != nil {
		p.PID = c.process.Pid
	}
	return p
}

// keepRunning starts the process, again whenever it dies. One that dies before it was ever ready is an
// error that stops souk dev: it would die again.
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

// once runs the process to its end, and reports whether it got ready before.
func (c *child) once() (ready bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer func() { _ = readyR.Close() }() // read to its end
	//nolint:gosec // this program itself
	cmd := exec.Command(self, "run", "--target="+c.name, "--config="+c.config, "--migrate", fmt.Sprintf("--ready-fd=%d", readyFD))
	cmd.Env = c.environ()
	cmd.Stdout, cmd.Stderr = c.logs, c.logs
	cmd.ExtraFiles = []*os.File{readyW}
	cmd.SysProcAttr = childAttr() // a session of its own: Ctrl-C in the terminal is for the parent
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
	line, rerr := bufio.NewReader(readyR).ReadString('\n') // ends early when the process does
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

// environ is the process's environment. One that is started again has no failpoints set: it would end at
// the same place for ever.
func (c *child) environ() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	env := splitEnviron(os.Environ(), runtime.GOMAXPROCS(0))
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

// stop ends the process and waits for it.
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
	case <-time.After(stopPatience):
		c.log.Error("process did not stop and is killed", zap.String("process", c.name))
		if p != nil {
			_ = p.Kill() // as above
		}
		<-c.done
	}
}
