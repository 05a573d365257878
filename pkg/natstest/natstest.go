// Package natstest gives each test its own NATS server with JetStream, embedded in the test process.
//
// The server is ready in about 10 ms and keeps its files in the test's temporary folder. When the test ends, the
// server and the connections of Conn and Connect are closed. The server does not sync after every write: a test
// need not survive a power failure.
package natstest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack/natsserver"
)

const timeout = 30 * time.Second

// IgnoreServerLeaks returns goleak options for tests that stop a server under load. They ignore the goroutines
// that the server leaks when an atomic batch is open at its shutdown.
func IgnoreServerLeaks() []goleak.Option {
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

// Start starts a server with the options, for tests that restart a server on the same store. It is stopped when
// the test ends.
func Start(t testing.TB, o natsserver.Options) *natsserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s, err := natsserver.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop NATS: %v", err)
		}
	})
	return s
}

// Cluster starts a cluster of three servers with the same password, named n0, n1 and n2. It returns before they have
// elected a leader; until then, and until all have met, requests for streams with three replicas fail.
func Cluster(t testing.TB) []*natsserver.Server {
	t.Helper()
	ports, free := make([]int, 3), make([]net.Listener, 3)
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		free[i], ports[i] = l, l.Addr().(*net.TCPAddr).Port
	}
	password, nodes := rand.Text(), make([]*natsserver.Server, 3)
	for i := range nodes {
		require.NoError(t, free[i].Close())
		nodes[i] = Start(t, natsserver.Options{
			StoreDir: t.TempDir(), NoSync: true, Password: password,
			Cluster: &natsserver.Cluster{Node: fmt.Sprintf("n%d", i), Port: ports[i], Ports: ports},
		})
	}
	return nodes
}

// Conn starts a server for this test and connects to it in process.
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
		select { // the connection's goroutines have ended once it is closed
		case <-closed:
		case <-time.After(timeout):
			t.Error("the NATS connection did not close")
		}
	})
	return nc
}
