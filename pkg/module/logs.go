package module

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	logDelay = 100 * time.Millisecond
	logRoom  = 64 << 10
)

// logSink gathers log lines, so that a busy process does not write to its file for each: a write costs as
// much as answering from the cache. A line waits for at most logDelay; a warning or worse does not
// wait, and takes along what waits before it.
type logSink struct {
	out io.Writer

	mu     sync.Mutex
	buf    []byte
	timer  *time.Timer
	armed  bool
	closed bool
}

func newLogSink(out io.Writer) *logSink {
	s := &logSink{out: out, buf: make([]byte, 0, logRoom)}
	s.timer = time.AfterFunc(time.Hour, s.flush)
	s.timer.Stop()
	return s
}

// Write takes whole lines.
func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.out.Write(p)
	}
	if len(s.buf)+len(p) > logRoom {
		s.write()
	}
	if len(p) > logRoom {
		return s.out.Write(p)
	}
	s.buf = append(s.buf, p...)
	if !s.armed {
		s.armed = true
		s.timer.Reset(logDelay)
	}
	return len(p), nil
}

// Sync writes what waits.
func (s *logSink) Sync() error {
	s.flush()
	return nil
}

// hook does not let a warning wait.
func (s *logSink) hook(e zapcore.Entry) error {
	if e.Level >= zapcore.WarnLevel {
		s.flush()
	}
	return nil
}

func (s *logSink) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	s.write()
}

func (s *logSink) write() {
	if len(s.buf) > 0 {
		_, _ = s.out.Write(s.buf) // a log that cannot be written has nowhere to say so
		s.buf = s.buf[:0]
	}
}

// close writes what waits; lines that come later are written at once.
func (s *logSink) close() {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.write()
}
