// Package natstest gives each test a NATS server with JetStream of its own, embedded in the test process.
//
// It is ready in some 10 ms, keeps its files in the test's temporary folder, and is shut down, with all
// that Conn opened, when the test ends. It does not sync after every write: a test does not outlive a power cut.
package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack/natsserver"
)

const patience = 30 * time.Second

// Forgotten are the goroutines that the server leaves of an atomic batch that was open when it was shut down, for tests
// that stop it under load.
func Forgotten() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	}
}

// Server starts a server that also listens on a loopback port, for tests with several connections or processes.
func Server(t testing.TB) *natsserver.Server {
	t.Helper()
	return Start(t, natsserver.Options{StoreDir: t.TempDir(), NoSync: true})
}

// Start starts a server as the options say, for tests that restart one on the same store.
func Start(t testing.TB, o natsserver.Options) *natsserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := natsserver.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop NATS: %v", err)
		}
	})
	return s
}

// Conn starts a server of the test's own and connects to it in process.
func Conn(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return Connect(t, Start(t, natsserver.Options{StoreDir: t.TempDir(), NoSync: true, Port: -1}), opts...)
}

// Connect connects to the server in process; the connection is closed when the test ends.
func Connect(t testing.TB, s *natsserver.Server, opts ...nats.Option) *nats.Conn {
	t.Helper()
	closed := make(chan struct{})
	nc, err := s.Connect(append(opts, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))...)
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		select { // its goroutines end with it
		case <-closed:
		case <-time.After(patience):
			t.Error("the NATS connection did not close")
		}
	})
	return nc
}
