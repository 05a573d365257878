package module

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"souk/pkg/metric"
)

const (
	logDelay  = 100 * time.Millisecond // the longest time that a line stays in the buffer
	logBuffer = 64 << 10               // bytes
)

// logSink batches log lines, because a write to the file costs as much as an answer from the cache. A line is flushed
// after at most logDelay. A warning or error is flushed at once, with the lines before it.
type logSink struct {
	out io.Writer

	mu     sync.Mutex
	buf    []byte
	timer  *time.Timer
	armed  bool
	closed bool
}

func newLogSink(out io.Writer) *logSink {
	s := &logSink{out: out, buf: make([]byte, 0, logBuffer)}
	s.timer = time.AfterFunc(time.Hour, s.flush)
	s.timer.Stop()
	return s
}

// Write buffers p, which consists of whole lines.
func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.out.Write(p)
	}
	if len(s.buf)+len(p) > logBuffer {
		s.write()
	}
	if len(p) > logBuffer {
		return s.out.Write(p)
	}
	s.buf = append(s.buf, p...)
	if !s.armed {
		s.armed = true
		s.timer.Reset(logDelay)
	}
	return len(p), nil
}

// Sync flushes the buffer.
func (s *logSink) Sync() error {
	s.flush()
	return nil
}

// countLines returns a hook that counts log lines by level.
func countLines(r prometheus.Registerer) (func(zapcore.Entry) error, error) {
	total, err := metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "log_line_total", Help: "Log lines by level.",
	}, []string{"level"}))
	lines := map[zapcore.Level]prometheus.Counter{}
	for level := zapcore.DebugLevel; level <= zapcore.FatalLevel; level++ {
		lines[level] = total.WithLabelValues(level.String())
	}
	return func(e zapcore.Entry) error {
		lines[e.Level].Inc()
		return nil
	}, err
}

// hook flushes the buffer after a warning or error.
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
		_, _ = s.out.Write(s.buf) // ignored: there is no place to report it
		s.buf = s.buf[:0]
	}
}

// close flushes the buffer. Later lines are written at once.
func (s *logSink) close() {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.write()
}
