package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestWarningsOfRiverAreLoggedWithTheirFields(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	log := Logger(zap.New(core)).With("queue", "mails").WithGroup("ignored")
	log.Debug("fetched")
	log.Info("started")
	log.Warn("slow", "seconds", 3)
	log.Error("lost", "err", errors.New("connection reset"))

	got := logs.All()
	require.Len(t, got, 2)
	require.Equal(t, "river: slow", got[0].Message)
	require.Equal(t, zapcore.WarnLevel, got[0].Level)
	require.Equal(t, map[string]any{"queue": "mails", "seconds": int64(3)}, got[0].ContextMap())
	require.Equal(t, zapcore.ErrorLevel, got[1].Level)
	require.Equal(t, "connection reset", got[1].ContextMap()["err"])
}

func TestWarningsOfRiverFollowTheLevelOfTheLog(t *testing.T) {
	t.Parallel()
	core, _ := observer.New(zap.ErrorLevel)
	h := handler{zap.New(core)}
	require.False(t, h.Enabled(context.Background(), slog.LevelWarn))
	require.True(t, h.Enabled(context.Background(), slog.LevelError))
}
