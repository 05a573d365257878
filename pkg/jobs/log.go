package jobs

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger returns a logger for River and River UI. It writes their warnings and errors to log.
func Logger(log *zap.Logger) *slog.Logger { return slog.New(handler{log}) }

// handler writes River's log to zap: warnings and errors only.
type handler struct{ log *zap.Logger }

// Enabled reports whether the level is warn or higher, and enabled in zap.
func (h handler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.log.Core().Enabled(level(l))
}

// Handle writes one record.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	fields := make([]zap.Field, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
		return true
	})
	h.log.Log(level(r.Level), "river: "+r.Message, fields...)
	return nil
}

// WithAttrs returns a handler that adds attrs to each record.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make([]zap.Field, 0, len(attrs))
	for _, a := range attrs {
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
	}
	return handler{h.log.With(fields...)}
}

// WithGroup ignores groups.
func (h handler) WithGroup(string) slog.Handler { return h }

func level(l slog.Level) zapcore.Level {
	switch {
	case l >= slog.LevelError:
		return zapcore.ErrorLevel
	case l >= slog.LevelWarn:
		return zapcore.WarnLevel
	case l >= slog.LevelInfo:
		return zapcore.InfoLevel
	default:
		return zapcore.DebugLevel
	}
}
