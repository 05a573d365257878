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

// guardScript starts "$@" and waits for it, and stops it with signal $1 when standard input closes, which
// is when the process that has the other end stops it or ends. Folder $2, if any, is removed last.
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
	// as is the user to run as; nil: this process's own.
	as *syscall.Credential
	// logFile gets what the program prints.
	logFile string
	// stop is the signal that makes it end in good order.
	stop syscall.Signal
	// unwatched leaves no goroutine behind; the process's end is seen only by who asks.
	unwatched bool
	// remove is a folder to remove when an unwatched process has ended.
	remove string
}

// process is a running server program.
type process struct {
	pid int

	// guard is the write end of the guard's pipe; nil: the program is a direct child.
	guard *os.File
	sig   syscall.Signal
	proc  *os.Process

	exited  chan struct{} // nil when unwatched
	waitErr error         // why it exited; to be read after exited is closed

	stopOnce sync.Once
	waitOnce sync.Once
}

func (c command) attr() *syscall.SysProcAttr {
	// A session of its own: Ctrl-C in the terminal is for souk, which then stops its servers in order.
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

// startChild keeps one goroutine on the thread that starts the program until that has ended: the kernel's
// parent-death signal is about the thread.
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

// alive reports whether the process, or its guard, is still there. It reaps an unwatched one.
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

// stop ends the process in good order and waits for it. When ctx ends first, it is killed.
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

// kill ends the process and all of its session's group at once.
func (p *process) kill() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }
