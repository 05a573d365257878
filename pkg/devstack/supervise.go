package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// server is a program that is watched and, if restart is set, started again.
type server struct {
	name    string
	logFile string
	restart bool
	log     *zap.Logger
	// launch starts the program and waits until it is ready.
	launch func(context.Context) (*process, error)

	ctx    context.Context //nolint:containedctx // canceled by stop, which ends a launch in flight
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	proc     *process
	stopping bool
	err      error
}

func newServer(
	name, logFile string, restart bool, log *zap.Logger, launch func(context.Context) (*process, error),
) *server {
	if log == nil {
		log = zap.NewNop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &server{
		name:    name,
		logFile: logFile,
		restart: restart,
		log:     log,
		launch:  launch,
		ctx:     ctx,
		cancel:  cancel,
		done:    make(chan struct{}),
	}
}

// begin launches the program for the first time.
func (s *server) begin(ctx context.Context) error {
	p, err := s.launch(ctx)
	if err != nil {
		s.cancel()
		return err
	}
	s.proc = p
	if p.exited != nil {
		go s.watch()
	}
	return nil
}

func (s *server) watch() {
	defer close(s.done)
	for {
		s.mu.Lock()
		p := s.proc
		s.mu.Unlock()
		<-p.exited

		s.mu.Lock()
		if s.stopping {
			s.mu.Unlock()
			return
		}
		reason := p.waitErr
		if !s.restart {
			s.err = fmt.Errorf("%s ended unexpectedly: %s%s", s.name, exitReason(reason), logTail(s.logFile))
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.log.Warn("server ended unexpectedly, starting it again", zap.String("server", s.name),
			zap.String("reason", exitReason(reason)))
		if !s.relaunch() {
			return
		}
	}
}

// relaunch retries until the program runs again or stop is called. It reports whether watch must go on.
func (s *server) relaunch() bool {
	for backoff := 50 * time.Millisecond; ; backoff = min(2*backoff, 5*time.Second) {
		select {
		case <-s.ctx.Done():
			return false
		case <-time.After(backoff):
		}
		p, err := s.launch(s.ctx)
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Error("server does not start again", zap.String("server", s.name), zap.Error(err))
			}
			continue
		}
		s.mu.Lock()
		s.proc = p
		stopping := s.stopping
		s.mu.Unlock()
		if stopping { // stop saw only the old process
			_ = p.stop(context.Background()) // its error is that the process had to be killed
		}
		return true
	}
}

func exitReason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func (s *server) stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	p := s.proc
	s.mu.Unlock()
	s.cancel()
	if err := p.stop(ctx); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	if p.exited == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", s.name, ctx.Err())
	}
}

func (s *server) exitErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.pid
}

// awaitReady calls probe until it returns nil. It fails when the process or ctx ends. The error then has the last
// lines of the program's log.
func awaitReady(ctx context.Context, p *process, logFile string, probe func(context.Context) error) error {
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		if !p.alive() {
			return fmt.Errorf("it ended at once%s", logTail(logFile))
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it did not answer in time%s", logTail(logFile)), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// logTail returns the last lines of a server's log, for an error message.
func logTail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	if len(lines) == 1 && len(lines[0]) == 0 {
		return ""
	}
	return fmt.Sprintf("; the end of %s:\n  %s", file, bytes.Join(lines, []byte("\n  ")))
}

// trimLog renames a large log file before its server starts, so that the file does not grow forever.
func trimLog(file string) {
	const large = 16 << 20
	if info, err := os.Stat(file); err == nil && info.Size() > large {
		_ = os.Rename(file, file+".old") // on failure the file grows on
	}
}
