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
	l.log.Warn("nats warning", l.line(format, v))
}

func (l *zapLogger) Errorf(format string, v ...any) {
	l.fatal.set(fmt.Sprintf(format, v...))
	l.log.Error("nats error", l.line(format, v))
}

func (l *zapLogger) Fatalf(format string, v ...any) {
	l.fatal.set(fmt.Sprintf(format, v...))
	l.log.Error("nats fatal", l.line(format, v))
}
