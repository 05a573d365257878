package natsserver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestFullDiskIsDetectedInTheServersLog(t *testing.T) {
	t.Parallel()
	reports := 0
	l := &zapLogger{log: zap.NewNop(), fatal: &lastError{}, full: func() { reports++ }}
	l.Errorf("JetStream failed to store a msg on stream '%s > %s': %v", "$G", "EVENTS",
		"write 1.blk: no space left on device")
	l.Warnf("Filestore: %s", "sync 1.blk: no space left on device")
	l.Errorf("JetStream out of space, will be DISABLED")
	require.Equal(t, 3, reports)
	l.Errorf("something else")
	l.Noticef("no space left on device") // notices are not checked
	require.Equal(t, 3, reports)
}
