package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"souk/pkg/devstack/mailsink"
)

const (
	startTimeout  = 2 * time.Minute
	stopTimeout   = time.Minute
	readyInterval = 50 * time.Millisecond
	lastLines     = 40
)

// settings are those of every souk that this program starts. All visitors share one address, so its rate and its quota
// of kept answers are not bounded. Mails go to this program, so that the process with NATS has nothing else to do.
func settings(mail string) []string {
	return []string{
		"SOUK_GATEWAY_CALLER_RATE_PER_SECOND=0", "SOUK_GATEWAY_ADDRESS_RATE_PER_SECOND=0",
		"SOUK_GATEWAY_IDEMPOTENCY_QUOTA=0", "SOUK_GATEWAY_LAME_DUCK=2s", "SOUK_NOTIFICATION_SMTP_ADDR=" + mail,
	}
}

// souk is a running souk dev, and further processes of its services.
type souk struct {
	binary, dir string
	url         string
	split       bool
	state       state
	mail        *mailsink.Sink
	env         []string

	dev  *process
	more map[string]*process // by service
}

// state is the part of dev.json that this program uses.
type state struct {
	Control   string
	Redis     string
	Databases map[string]string
}

// process is a process that this program has started.
type process struct {
	cmd    *exec.Cmd
	url    string // of the gateway, or of the admin listener
	exited chan struct{}
	ready  chan struct{} // closed when souk dev says that it is ready

	mu     sync.Mutex
	output []string // the last lines
}

// startSouk starts souk dev on a data directory and waits until it is ready.
func startSouk(ctx context.Context, binary, dir string, split bool) (s *souk, err error) {
	s = &souk{binary: binary, dir: dir, split: split, more: map[string]*process{}}
	if s.mail, err = mailsink.Start(ctx, mailsink.Options{Keep: 1}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	addr, err := freeAddr()
	if err != nil {
		return s, err
	}
	s.url, s.env = "http://"+addr, settings(s.mail.Addr())
	args := []string{"dev", "--data-dir", dir, "--http", addr}
	if split {
		args = append(args, "--split")
	}
	if s.dev, err = start(binary, s.env, args...); err != nil {
		return s, err
	}
	if err := s.dev.await(ctx, s.dev.ready); err != nil {
		return s, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "dev.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(raw, &s.state)
}

func start(binary string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), exited: make(chan struct{}), ready: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // only this program gets Ctrl-C, and then stops souk
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = errors.Join(p.cmd.Start(), w.Close())
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.line(lines.Text())
		}
		_ = r.Close()    // it was only read
		_ = p.cmd.Wait() // a failure shows in the output
		close(p.exited)
	}()
	return p, nil
}

func (p *process) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output = append(p.output, text); len(p.output) > lastLines {
		p.output = p.output[1:]
	}
	if strings.HasPrefix(text, "souk is ready on ") {
		close(p.ready)
	}
}

func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.output, "\n")
}

// await waits until done is closed, unless the process ends first.
func (p *process) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-p.exited:
		return fmt.Errorf("souk ended instead of starting:\n%s", p)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(startTimeout):
		return fmt.Errorf("souk was not ready after %s:\n%s", startTimeout, p)
	}
}

// stop stops the process by a signal, and waits for it.
func (p *process) stop(by os.Signal) error {
	_ = p.cmd.Process.Signal(by) // it may have ended
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		err := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(fmt.Errorf("%s did not stop within %s:\n%s", p.cmd, stopTimeout, p), err)
	}
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// stop stops all processes.
func (s *souk) stop() (err error) {
	for _, p := range s.more {
		err = errors.Join(err, p.stop(syscall.SIGTERM))
	}
	if s.dev != nil {
		err = errors.Join(err, s.dev.stop(syscall.SIGINT))
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(err, s.mail.Stop(ctx))
}

// join starts one more process of a service, with the same configuration, and waits until it is ready.
func (s *souk) join(ctx context.Context, service string) error {
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	gateway, err := freeAddr()
	if err != nil {
		return err
	}
	p, err := start(
		s.binary,
		slices.Concat(s.env, []string{"SOUK_ADMIN_ADDR=" + admin, "SOUK_GATEWAY_ADDR=" + gateway}),
		"run",
		"--target="+service,
		"--config="+filepath.Join(s.dir, "souk.yaml"),
	)
	if err != nil {
		return err
	}
	s.more[service] = p
	p.url = "http://" + admin
	if service == gatewayService {
		p.url = "http://" + gateway
	}
	began := time.Now()
	for !isReady(ctx, http.DefaultClient, "http://"+admin) {
		select {
		case <-p.exited:
			return fmt.Errorf("a second %s ended instead of starting:\n%s", service, p)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyInterval):
		}
		if time.Since(began) > startTimeout {
			return fmt.Errorf("a second %s was not ready after %s:\n%s", service, startTimeout, p)
		}
	}
	return nil
}

// leave stops the process that join has started, as Kubernetes does.
func (s *souk) leave(service string) error {
	p := s.more[service]
	delete(s.more, service)
	return p.stop(syscall.SIGTERM)
}

const gatewayService = "gateway"

// child is a process of souk dev --split.
type child struct {
	Name  string
	PID   int
	Admin string
}

// children returns the processes of souk dev --split in the order of their start.
func (s *souk) children(ctx context.Context) ([]child, error) {
	if !s.split {
		return nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.state.Control+"/dev/processes", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	var list struct{ Processes []child }
	return list.Processes, json.NewDecoder(res.Body).Decode(&list)
}

// command runs a souk command on this souk. It returns what the command prints.
func (s *souk) command(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, s.binary, append(args, "--data-dir", s.dir)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("souk %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(bytes.TrimSpace(out)), nil
}
