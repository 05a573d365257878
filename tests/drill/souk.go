package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const startTimeout = 3 * time.Minute

// souk is a souk dev with a data directory.
type souk struct {
	binary, dir string

	url       string
	cmd       *exec.Cmd
	exited    chan struct{}
	databases map[string]string
	redis     string
}

// start starts souk dev and waits until it is ready.
func (s *souk) start(ctx context.Context) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := exec.Command(s.binary, "dev", "--data-dir", s.dir, "--http", addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the drill, which then stops souk
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	ready, output := make(chan struct{}), &strings.Builder{}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if output.Len() < 1<<16 {
				output.WriteString(lines.Text() + "\n")
			}
			if strings.HasPrefix(lines.Text(), "souk is ready on ") {
				close(ready)
			}
		}
	})
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: make build makes it", errors.Join(err, w.Close()))
	}
	s.cmd, s.url, s.exited = cmd, "http://"+addr, make(chan struct{})
	go func() {
		_ = cmd.Wait() // a failure is in the output
		_ = w.Close()
		reading.Wait()
		close(s.exited)
	}()
	select {
	case <-ready:
	case <-s.exited:
		return fmt.Errorf("souk ended instead of starting:\n%s", output)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(startTimeout):
		return fmt.Errorf("souk was not ready after %s; see %s", startTimeout, s.dir)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "dev.json"))
	if err != nil {
		return err
	}
	var state struct {
		Databases map[string]string
		Redis     string
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return err
	}
	s.databases, s.redis = state.Databases, state.Redis
	return nil
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// stop stops souk as Ctrl-C does.
func (s *souk) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(time.Minute):
		s.kill()
		return errors.New("souk did not stop within a minute")
	}
}

// kill ends souk at once, if it runs.
func (s *souk) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // an error means that it has ended
	<-s.exited
}

// command runs a souk command on this souk, and prints its output if it fails.
func (s *souk) command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, s.binary, append(args, "--data-dir", s.dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("souk %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
