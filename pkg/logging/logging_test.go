package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	authv1 "souk/gen/go/souk/auth/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/logging"
)

func setup(t *testing.T, cfg logging.Config) (*zap.Logger, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	l, err := logging.New(cfg, &buf)
	require.NoError(t, err)
	return l, &buf
}

func line(t *testing.T, buf *bytes.Buffer) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(buf.Bytes(), &m), "%s", buf)
	return m
}

func TestInvalidConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []logging.Config{{Level: "loud", Format: "json"}, {Level: "info", Format: "xml"}, {}} {
		_, err := logging.New(cfg, &bytes.Buffer{})
		require.True(t, errs.Is(err, errs.Invalid))
	}
}

func TestLinesBelowTheLevelAreNotWritten(t *testing.T) {
	t.Parallel()
	l, buf := setup(t, logging.Config{Level: "warn", Format: "json"})
	l.Info("not shown")
	require.Empty(t, buf.String())
	l.Warn("shown")
	require.Equal(t, "shown", line(t, buf)["message"])
}

func TestLinesCarryTheFieldsOfTheContext(t *testing.T) {
	t.Parallel()
	l, buf := setup(t, logging.Default())
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(context.Background(), sc)
	ctx = logging.WithRequestID(ctx, "req-1")
	ctx = logging.WithFields(ctx, zap.String("order_id", "ord_1"))
	logging.With(ctx, l).Info("hello")
	got := line(t, buf)
	require.Equal(t, sc.TraceID().String(), got["trace_id"])
	require.Equal(t, sc.SpanID().String(), got["span_id"])
	require.Equal(t, "req-1", got["request_id"])
	require.Equal(t, "ord_1", got["order_id"])
	require.Same(t, l, logging.With(context.Background(), l))
}

const jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJlLWhlcmU"

func TestMaskReplacesCardsAndTokensOnly(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"card 4111111111111111 end":                       "card [card] end",
		"4111 1111 1111 1111":                             "[card]",
		"4111-1111-1111-1111.":                            "[card].",
		"4111 1111 1111 1111 12/28":                       "[card] 12/28",
		"nr 1234 4111 1111 1111 1111 12":                  "nr 1234 [card] 12",
		"amex 378282246310005":                            "amex [card]",
		"two 4111111111111111,5555555555554444":           "two [card],[card]",
		"4111111111111112 fails the check":                "4111111111111112 fails the check",
		"0000000000000000":                                "0000000000000000",
		"0198c5f27e6b4111111111111111":                    "0198c5f27e6b4111111111111111",
		"41111111111111114111111111111111":                "41111111111111114111111111111111",
		"ord_4111111111111111":                            "ord_[card]",
		"Authorization: Bearer abcdefgh12345":             "Authorization: Bearer [token]",
		"bearer  x":                                       "bearer  x",
		"token=" + jwt + "; next":                         "token=[token]; next",
		"Bearer " + jwt:                                   "Bearer [token]",
		"nothing to hide, 12345, 2026-11-22":              "nothing to hide, 12345, 2026-11-22",
		"bear eyJ e Be b":                                 "bear eyJ e Be b",
		`{"note":"my card is 4111 1111 1111 1111"}`:       `{"note":"my card is [card]"}`,
		`{"at":"2026-11-22T10:00:00Z","n":1234567890123}`: `{"at":"2026-11-22T10:00:00Z","n":1234567890123}`,
		"4":      "4",
		"":       "",
		"Bearer": "Bearer",
	} {
		require.Equal(t, want, logging.Mask(in), in)
	}
}

type nested struct {
	Card string
	N    int64
}

func TestGuardMasksEveryKindOfField(t *testing.T) {
	t.Parallel()
	for _, format := range []string{logging.FormatJSON, logging.FormatConsole} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			l, buf := setup(t, logging.Config{Level: "debug", Format: format})
			l = l.With(zap.String("a", "4111111111111111"))
			l.Error("card 4111 1111 1111 1111",
				zap.Error(errors.New("refused: 5555555555554444")),
				zap.Any("nested", nested{Card: "378282246310005", N: 4111111111111111}),
				zap.Strings("list", []string{"quote \" 4111111111111111"}),
				zap.Int64("number", 4111111111111111),
				zap.ByteString("bytes", []byte("Bearer "+jwt)),
				zap.Int64("millis", 1700000000005),
			)
			out := buf.String()
			for _, secret := range []string{
				"4111111111111111", "4111 1111", "5555555555554444", "378282246310005", "eyJ",
			} {
				require.NotContains(t, out, secret)
			}
			require.Contains(t, out, "1700000000005")
			if format == logging.FormatJSON {
				require.Equal(t, "[card]", line(t, buf)["number"])
			}
		})
	}
}

func TestRedactHidesFieldsMarkedInTheContract(t *testing.T) {
	t.Parallel()
	l, buf := setup(t, logging.Default())
	l.Info(
		"call",
		logging.Redact("request",
			&authv1.CompleteLoginRequest{Code: "secret-code", State: "secret-state", GuestToken: "secret-token"}),
		logging.Redact("nothing", nil),
	)
	require.NotContains(t, buf.String(), "secret-")
	require.Equal(t,
		map[string]any{"code": logging.Redacted, "state": logging.Redacted, "guestToken": logging.Redacted},
		line(t, buf)["request"])

	buf.Reset()
	l.Info(
		"call",
		logging.Redact(
			"request",
			&orderv1.CheckoutRequest{
				VoucherCodes:    []string{"A", "B"},
				ShippingAddress: &orderv1.ShippingAddress{CountryCode: "BR"},
			},
		),
	)
	require.Equal(t,
		map[string]any{"voucherCodes": []any{"A", "B"}, "shippingAddress": map[string]any{"countryCode": "BR"}},
		line(t, buf)["request"])

	buf.Reset()
	l.Info("call", logging.Redact("user", &userv1.User{Id: "usr_1", Email: "a@example.org", Name: "Ann"}))
	require.NotContains(t, buf.String(), "example.org")
	require.Contains(t, buf.String(), "usr_1")
}

func TestPlainLinesEqualGuardedLines(t *testing.T) {
	t.Parallel()
	fields := []zap.Field{
		zap.String("method", "GET"),
		zap.Int("status", 200),
		zap.Duration("took", 1234567),
		zap.Int64("bytes", -1),
		zap.Bool("hit", true),
		zap.Int32("n", 7),
		zap.Skip(),
		zap.String("empty", ""),
	}
	for name, logger := range map[string]func(*zap.Logger) *zap.Logger{
		"bare":  func(l *zap.Logger) *zap.Logger { return l },
		"named": func(l *zap.Logger) *zap.Logger { return l.Named("gateway") },
		"with":  func(l *zap.Logger) *zap.Logger { return l.With(zap.String("order_id", "ord_1")) },
		"caller": func(l *zap.Logger) *zap.Logger {
			return l.WithOptions(zap.AddCaller(), zap.AddStacktrace(zap.InfoLevel))
		},
	} {
		for _, config := range []logging.Config{logging.Default(), {Level: "debug", Format: logging.FormatConsole}} {
			l, buf := setup(t, config)
			l = logger(l).WithOptions(zap.WithClock(stopped{}))
			write := func(fields ...zap.Field) string {
				buf.Reset()
				l.Info("request", fields...)
				_, rest, _ := strings.Cut(buf.String(), "pkg/logging/logging_test.go") // the line number may differ
				if name == "caller" {
					return rest
				}
				return buf.String()
			}
			require.Equal(t, write(fields...), write(append([]zap.Field{logging.Plain()}, fields...)...), name)
		}
	}
}

func TestPlainLinesWithFreeTextAreGuarded(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]zap.Field{
		"quote":   zap.String("text", "\"4111111111111111"),
		"escape":  zap.String("text", "\n4111111111111111"),
		"escaped": zap.String("text", "\x01"+"4111111111111111"),
		"token":   zap.String("text", "\n"+jwt+" 4111111111111111"),
		"utf-8":   zap.String("text", "é 4111111111111111"),
		"error":   zap.Error(errors.New("refused: 4111111111111111")),
		"any":     zap.Any("text", nested{Card: "4111111111111111"}),
	} {
		l, buf := setup(t, logging.Default())
		l.Info("request", logging.Plain(), zap.String("method", "GET"), field)
		require.NotContains(t, buf.String(), "4111111111111111", name)
		require.NotContains(t, buf.String(), "eyJ", name)
		require.Equal(t, "GET", line(t, buf)["method"], name)
		require.Equal(t, 1, strings.Count(buf.String(), "\n"), name)
	}
	l, buf := setup(t, logging.Config{Level: "warn", Format: "json"})
	l.Info("request", logging.Plain())
	require.Empty(t, buf.String())
}

// stopped is a clock that does not move.
type stopped struct{}

func (stopped) Now() time.Time                         { return time.Unix(1, 2000).UTC() }
func (stopped) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func BenchmarkPlain(b *testing.B) {
	l, err := logging.New(logging.Default(), discard{})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		l.Info("request", logging.Plain(), zap.String("method", "GET"), zap.String("route", "/v1/products/{id}"),
			zap.Int("status", 200), zap.Duration("duration", time.Millisecond),
			zap.String("trace_id", "0198c5f27e6b7c1f8a3d5e9b04c7d21a"))
	}
}

func BenchmarkGuard(b *testing.B) {
	l, err := logging.New(logging.Default(), discard{})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		l.Info("request", zap.String("method", "GET"), zap.String("route", "/v1/products/{id}"), zap.Int("status", 200),
			zap.Duration("duration", time.Millisecond), zap.String("trace_id", "0198c5f27e6b7c1f8a3d5e9b04c7d21a"))
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
