// Package logging makes souk's logger: zap, one line per event, fields instead of sentences.
//
// Three things keep secrets and personal data out of the log. Messages are logged with [Redact],
// which leaves out the fields that the contract marks with souk.options.v1.redact. Code logs
// identifiers, never contents. As a last line of defence, a guard masks card numbers and bearer
// tokens anywhere in a line, see [Mask]. Only lines whose every value the program knows skip the
// guard, see [Plain].
package logging

import (
	"context"
	"io"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"souk/pkg/errs"
)

// The formats of a log.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// Config sets what is logged, and how.
type Config struct {
	// Level is the lowest level that is logged: debug, info, warn or error. Default: info.
	Level string `yaml:"level"`
	// Format is json, for machines, or console, for a terminal. Default: json.
	Format string `yaml:"format"`
}

// Default returns the default settings.
func Default() Config { return Config{Level: "info", Format: FormatJSON} }

// Validate checks the settings.
//
// Errors: invalid_argument (a value is not one of those listed).
func (c *Config) Validate() error {
	if _, err := zapcore.ParseLevel(c.Level); err != nil {
		return errs.InvalidField("level", "must be debug, info, warn or error, not %q", c.Level)
	}
	if c.Format != FormatJSON && c.Format != FormatConsole {
		return errs.InvalidField("format", "must be json or console, not %q", c.Format)
	}
	return nil
}

// New returns a logger that writes to w.
//
// Errors: invalid_argument (cfg is invalid).
func New(cfg Config, w io.Writer) (*zap.Logger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "log level")
	}
	ec := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "message", StacktraceKey: "stack",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	enc := zapcore.NewJSONEncoder(ec)
	if cfg.Format == FormatConsole {
		ec.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		ec.EncodeLevel = zapcore.CapitalLevelEncoder
		ec.EncodeDuration = zapcore.StringDurationEncoder
		enc = zapcore.NewConsoleEncoder(ec)
	}
	out := zapcore.Lock(zapcore.AddSync(w))
	guarded := zapcore.NewCore(enc, &guard{out: out, json: cfg.Format == FormatJSON}, level)
	if cfg.Format == FormatConsole {
		return zap.New(guarded), nil
	}
	return zap.New(&core{Core: guarded, out: out}), nil
}

type fieldsKey struct{}

// WithFields returns a context with fields, e.g. the request's ID, that [With] adds to every line.
func WithFields(ctx context.Context, fields ...zap.Field) context.Context {
	old, _ := ctx.Value(fieldsKey{}).([]zap.Field)
	return context.WithValue(ctx, fieldsKey{}, append(old[:len(old):len(old)], fields...))
}

// WithRequestID returns a context whose lines carry request_id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return WithFields(ctx, zap.String("request_id", id))
}

// Fields returns the fields that ctx adds to a line: trace_id and span_id of the current span,
// and the fields of [WithFields].
func Fields(ctx context.Context) []zap.Field {
	var fields []zap.Field
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		fields = append(fields, zap.String("trace_id", sc.TraceID().String()),
			zap.String("span_id", sc.SpanID().String()))
	}
	own, _ := ctx.Value(fieldsKey{}).([]zap.Field)
	return append(fields, own...)
}

// With returns l with the fields of ctx.
func With(ctx context.Context, l *zap.Logger) *zap.Logger {
	if fields := Fields(ctx); len(fields) > 0 {
		return l.With(fields...)
	}
	return l
}
