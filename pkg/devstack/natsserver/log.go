package natsserver

import (
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// zapLogger receives the server's log. The server's notices interest an operator of NATS, but not a developer of a
// shop, so that they become debug lines.
type zapLogger struct {
	log   *zap.Logger
	fatal *lastError
	full  func()
}

// checkDiskFull calls full if text says that the disk is full. The server then stores nothing until it is
// restarted.
func (l *zapLogger) checkDiskFull(text string) {
	text = strings.ToLower(text)
	if strings.Contains(text, "no space left") || strings.Contains(text, "jetstream out of space") {
		l.full()
	}
}

// lastError keeps the last error that the server logged. A failed start is reported in the log only.
type lastError struct {
	mu     sync.Mutex
	reason string
}

func (f *lastError) set(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reason = reason
}

func (f *lastError) get() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

func logger(l *zap.Logger) *zap.Logger {
	if l == nil {
		return zap.NewNop()
	}
	return l.Named("nats")
}

func (l *zapLogger) line(format string, v []any) zap.Field {
	return zap.String("message", fmt.Sprintf(format, v...))
}

func (l *zapLogger) Noticef(format string, v ...any) { l.log.Debug("nats notice", l.line(format, v)) }
func (l *zapLogger) Debugf(format string, v ...any)  { l.log.Debug("nats debug", l.line(format, v)) }
func (l *zapLogger) Tracef(format string, v ...any)  { l.log.Debug("nats trace", l.line(format, v)) }

// Warnf logs a warning. It drops the one about plaintext passwords in the configuration: the default password is
// random and is kept in memory only.
func (l *zapLogger) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		return
	}
	l.checkDiskFull(fmt.Sprintf(format, v...))
	l.log.Warn("nats warning", l.line(format, v))
}

func (l *zapLogger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.set(text)
	l.checkDiskFull(text)
	l.log.Error("nats error", l.line(format, v))
}

func (l *zapLogger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.set(text)
	l.checkDiskFull(text)
	l.log.Error("nats fatal", l.line(format, v))
}
