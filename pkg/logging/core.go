package logging

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

type plainMark struct{}

// Plain is the first field of a line. It declares that the other fields are short values that the program has
// made or checked itself: names, numbers, identifiers. Such a line skips the guard, which is for free text,
// and costs a fraction of any other line. Use it for lines that are written with every request. A line with
// anything but strings, integers, booleans and durations, or with a string that is not printable ASCII, is
// guarded nevertheless.
//
// The field is never printed. Loggers that [New] did not make ignore it.
func Plain() zap.Field { return zap.Field{Type: zapcore.SkipType, Interface: plainMark{}} }

// core writes plain lines itself. It leaves all other lines to the core that it wraps, whose output is guarded.
type core struct {
	zapcore.Core                     // guarded
	out          zapcore.WriteSyncer // the same output, without the guard
	with         bool                // the logger has fields that go into every line
}

// With returns a core that adds the fields to every line.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{Core: c.Core.With(fields), out: c.out, with: c.with || len(fields) > 0}
}

// Check adds c to the entry if its level is logged.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// lineBuffers holds buffers for plain lines.
var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Write writes one line.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if c.with || len(fields) == 0 || fields[0].Type != zapcore.SkipType || fields[0].Interface != (plainMark{}) {
		return c.Core.Write(e, fields)
	}
	buf := lineBuffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in the pool
	defer lineBuffers.Put(buf)
	line, ok := appendPlain((*buf)[:0], e, fields[1:])
	*buf = line
	if !ok {
		return c.Core.Write(e, fields)
	}
	_, err := c.out.Write(line)
	if e.Level > zapcore.ErrorLevel {
		_ = c.Sync() // best effort: the program is about to end
	}
	return err
}

// appendPlain appends the line as zap's encoder would with the settings of New. It returns false if the line
// is not plain.
func appendPlain(b []byte, e zapcore.Entry, fields []zapcore.Field) ([]byte, bool) {
	if e.Stack != "" || e.Caller.Defined {
		return b, false
	}
	b = append(append(b, `{"level":"`...), e.Level.String()...)
	b = append(b, `","time":"`...)
	b = append(e.Time.AppendFormat(b, time.RFC3339Nano), '"')
	ok := true
	if e.LoggerName != "" {
		b, ok = appendText(b, "logger", e.LoggerName)
	}
	if ok {
		b, ok = appendText(b, "message", e.Message)
	}
	for i := range fields {
		if !ok {
			return b, false
		}
		f := &fields[i]
		switch f.Type {
		case zapcore.StringType:
			b, ok = appendText(b, f.Key, f.String)
		case zapcore.Int64Type, zapcore.Int32Type:
			b = strconv.AppendInt(appendKey(b, f.Key), f.Integer, 10)
		case zapcore.BoolType:
			b = strconv.AppendBool(appendKey(b, f.Key), f.Integer == 1)
		case zapcore.DurationType:
			const shortest, float64Bits = -1, 64
			b = strconv.AppendFloat(appendKey(b, f.Key), time.Duration(f.Integer).Seconds(), 'f', shortest, float64Bits)
		case zapcore.SkipType:
		default:
			ok = false
		}
	}
	return append(b, '}', '\n'), ok
}

func appendKey(b []byte, key string) []byte {
	b = append(append(b, ',', '"'), key...)
	return append(b, '"', ':')
}

// appendText appends a string field. It returns false if JSON would have to escape the text.
func appendText(b []byte, key, text string) ([]byte, bool) {
	b = append(append(appendKey(b, key), '"'), text...)
	b = append(b, '"')
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return b, false
		}
	}
	return b, true
}
