package natsserver

import (
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// zapLogger takes the server's log. Its notices are of interest to who operates NATS, not to who develops
// a shop, so they are debug lines here.
type zapLogger struct {
	log   *zap.Logger
	fatal *fatalNotice
	full  func()
}

// notice looks for the disk's end in what the server says: it stores nothing then until it is started again.
func (l *zapLogger) notice(text string) {
	text = strings.ToLower(text)
	if strings.Contains(text, "no space left") || strings.Contains(text, "jetstream out of space") {
		l.full()
	}
}

// fatalNotice keeps the last reason for which the server gave up: it only logs it.
type fatalNotice struct {
	mu     sync.Mutex
	reason string
}

func (f *fatalNotice) set(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reason = reason
}

func (f *fatalNotice) get() string {
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

// Warnf leaves out what is said about every password in the configuration: ours is random and lives in memory.
func (l *zapLogger) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		return
	}
	l.notice(fmt.Sprintf(format, v...))
	l.log.Warn("nats warning", l.line(format, v))
}

func (l *zapLogger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.set(text)
	l.notice(text)
	l.log.Error("nats error", l.line(format, v))
}

func (l *zapLogger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.set(text)
	l.notice(text)
	l.log.Error("nats fatal", l.line(format, v))
}
