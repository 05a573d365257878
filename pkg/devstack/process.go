package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// guardScript starts "$@" and waits for it. It stops it with signal $1 when standard input closes, which
// happens when the process at the other end closes the pipe or ends. Last it removes folder $2, if given.
const guardScript = `sig=$1 dir=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- &
pid=$!
{ read -r _ <&3; kill -"$sig" "$pid"; } 2>/dev/null &
reader=$!
exec 3<&-
wait "$pid"; code=$?
kill "$reader" 2>/dev/null
[ -z "$dir" ] || rm -rf "$dir"
exit "$code"`

// command is a server program to run.
type command struct {
	path string
	args []string
	env  []string
	dir  string
	// as is the user to run as. Nil means the current user.
	as *syscall.Credential
	// logFile receives the program's output.
	logFile string
	// stop is the signal for a graceful shutdown.
	stop syscall.Signal
	// unwatched starts no goroutine to wait for the process. Only alive and stop then notice its end.
	unwatched bool
	// remove is a folder to remove when an unwatched process has ended.
	remove string
}

// process is a running server program.
type process struct {
	pid int

	// guard is the write end of the guard's pipe, or nil if the program is a direct child.
	guard *os.File
	sig   syscall.Signal
	proc  *os.Process

	exited  chan struct{} // nil when unwatched
	waitErr error         // why it exited; valid once exited is closed

	stopOnce sync.Once
	waitOnce sync.Once
}

func (c command) attr() *syscall.SysProcAttr {
	// With a session of its own the server does not get Ctrl-C from the terminal. souk gets it and stops its
	// servers in order.
	return &syscall.SysProcAttr{Setsid: true, Credential: c.as}
}

// start runs the command.
func (c command) start() (*process, error) {
	out, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(c.path, c.args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = c.env, c.dir, out, out, c.attr()

	p := &process{sig: c.stop}
	if c.unwatched || !diesWithParent(cmd.SysProcAttr, c.stop) {
		return p, p.startGuarded(c, cmd)
	}
	return p, p.startChild(cmd)
}

// startChild starts the program and keeps one goroutine on the thread that did so until the program has ended:
// the kernel sends the parent-death signal when that thread ends.
func (p *process) startChild(cmd *exec.Cmd) error {
	p.exited = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid, p.proc = cmd.Process.Pid, cmd.Process
		}
		started <- err
		if err != nil {
			return
		}
		p.waitErr = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

func (p *process) startGuarded(c command, cmd *exec.Cmd) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.path, err)
	}
	defer func() { _ = read.Close() }()
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", guardScript, "sh", strconv.Itoa(int(c.stop)), c.remove, c.path}, c.args...)
	cmd.Stdin = read
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", c.path, err), write.Close())
	}
	p.pid, p.proc, p.guard = cmd.Process.Pid, cmd.Process, write
	if !c.unwatched {
		p.exited = make(chan struct{})
		go func() {
			p.waitErr = cmd.Wait()
			close(p.exited)
		}()
	}
	return nil
}

// alive reports whether the process, or its guard, still runs. It reaps an unwatched process that has ended.
func (p *process) alive() bool {
	if p.exited != nil {
		select {
		case <-p.exited:
			return false
		default:
			return true
		}
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil)
	return err == nil && pid == 0
}

// stop shuts the process down gracefully and waits for it. If ctx ends first, it kills the process.
func (p *process) stop(ctx context.Context) error {
	p.stopOnce.Do(func() {
		if p.guard != nil {
			_ = p.guard.Close()
			return
		}
		_ = p.proc.Signal(p.sig)
	})
	if p.exited == nil {
		return p.reap(ctx)
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	p.kill()
	<-p.exited
	return fmt.Errorf("killed, for it did not stop in time: %w", ctx.Err())
}

// reap waits for an unwatched process.
func (p *process) reap(ctx context.Context) error {
	var err error
	p.waitOnce.Do(func() {
		for p.alive() {
			select {
			case <-ctx.Done():
				p.kill()
				err = fmt.Errorf("killed, for it did not stop in time: %w", ctx.Err())
				_, _ = p.proc.Wait()
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return err
}

// kill kills the process and its whole process group.
func (p *process) kill() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }
