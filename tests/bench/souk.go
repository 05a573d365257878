package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 90 * time.Second
	stopTimeout  = 60 * time.Second
)

// souk is a running souk dev.
type souk struct {
	binary string
	dir    string
	addr   string
	url    string
	split  bool
	ready  time.Duration // time from start to ready
	state  state

	cmd    *exec.Cmd
	exited chan struct{}
	output *tail
}

// state is the part of dev.json that bench uses.
type state struct {
	Admin     string
	Databases map[string]string
}

// tail keeps souk's output. It closes ready at the line that says that souk is ready.
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

// startSouk starts souk dev on a data directory and waits until it is ready.
func startSouk(ctx context.Context, binary, dir string, env []string, args ...string) (*souk, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &souk{
		binary: binary,
		dir:    dir,
		addr:   addr,
		url:    "http://" + addr,
		exited: make(chan struct{}),
		output: &tail{ready: make(chan struct{})},
	}
	for _, a := range args {
		s.split = s.split || a == "--split"
	}
	s.cmd = exec.Command(binary, append([]string{"dev", "--data-dir", dir, "--http", addr}, args...)...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // only this program gets Ctrl-C, and then stops souk
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.output.follow(stdout) })
	wg.Go(func() { s.output.follow(stderr) })
	go func() {
		wg.Wait()
		_ = s.cmd.Wait() // a failure shows in the output
		close(s.exited)
	}()
	select {
	case <-s.output.ready:
		s.ready = time.Since(began)
	case <-s.exited:
		return nil, fmt.Errorf("souk ended instead of starting:\n%s", s.output)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.stop())
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("souk was not ready after %s:\n%s", startTimeout, s.output), s.stop())
	}
	raw, err := os.ReadFile(filepath.Join(dir, "dev.json"))
	if err == nil {
		err = json.Unmarshal(raw, &s.state)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// stop stops souk as Ctrl-C does and waits for it.
func (s *souk) stop() error {
	select {
	case <-s.exited:
		return fmt.Errorf("souk ended by itself:\n%s", s.output)
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopTimeout):
		err := s.cmd.Process.Kill()
		<-s.exited
		return errors.Join(fmt.Errorf("souk did not stop within %s", stopTimeout), err)
	}
}

// command returns a souk command for this souk's data directory.
func (s *souk) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, s.binary, append(args, "--data-dir", s.dir)...)
}

// get decodes the JSON answer to a GET.
func (s *souk) get(ctx context.Context, path string, into any) error {
	a, err := capture(ctx, http.MethodGet, s.url+path, "", "")
	if err != nil {
		return err
	}
	return json.Unmarshal(a.Body, into)
}

// processes returns the IDs of souk's processes, without its databases.
func (s *souk) processes(ctx context.Context) ([]int, error) {
	pids := []int{s.cmd.Process.Pid}
	if !s.split {
		return pids, nil
	}
	var list struct{ Processes []struct{ PID int } }
	if err := s.get(ctx, "/dev/processes", &list); err != nil {
		return nil, err
	}
	for _, p := range list.Processes {
		pids = append(pids, p.PID)
	}
	return pids, nil
}

// watch runs a load on souk and adds the processor time that souk and its databases used for it. With
// -profile it also takes a CPU profile of souk. In split mode the profile is the gateway's.
func (b *bench) watch(ctx context.Context, name string, d time.Duration, f func() (stats, error)) (stats, error) {
	if b.profiles == "" {
		return timed(b.souk.cmd.Process.Pid, f)
	}
	file := filepath.Join(b.profiles, strings.ReplaceAll(b.mode, " ", "-")+"-"+name+".pprof")
	saved := make(chan error, 1)
	go func() {
		a, err := captureFor(ctx,
			fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.souk.state.Admin, max(1, int(d/time.Second))))
		if err == nil {
			err = os.WriteFile(file, a, 0o600)
		}
		saved <- err
	}()
	s, err := timed(b.souk.cmd.Process.Pid, f)
	return s, errors.Join(err, <-saved)
}

// timed runs a load and adds the processor time of a process and its descendants.
func timed(pid int, f func() (stats, error)) (stats, error) {
	before := cpuTime(pid)
	s, err := f()
	s.cpu = cpu{}.add(before, cpuTime(pid))
	return s, err
}

func captureFor(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // the body has been read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return io.ReadAll(res.Body)
}
