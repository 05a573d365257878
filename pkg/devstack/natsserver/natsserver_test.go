package natsserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/devstack/natsserver"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(ctx context.Context, t *testing.T, o natsserver.Options) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

func connect(t *testing.T, s *natsserver.Server) jetstream.JetStream {
	t.Helper()
	closed := make(chan struct{})
	nc, err := s.Connect(nats.MaxReconnects(0), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		waittest.Receive(t, closed)
	})
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

func TestStreamsSurviveARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	core, logs := observer.New(zap.WarnLevel)
	o := natsserver.Options{StoreDir: t.TempDir(), Logger: zap.New(core)}
	s := start(ctx, t, o)
	js := connect(t, s)
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"evt.>"}})
	require.NoError(t, err)
	_, err = js.Publish(ctx, "evt.order.confirmed", make([]byte, 2<<20))
	require.NoError(t, err, "larger than the stock limit of 1 MiB")
	require.NoError(t, s.Stop(ctx))
	require.NoError(t, s.Stop(ctx))

	stream, err := connect(t, start(ctx, t, o)).Stream(ctx, "EVENTS")
	require.NoError(t, err)
	info, err := stream.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)
	require.Empty(t, logs.All(), "a start and a stop are quiet")
}

func TestStartOnAUsedPortNamesThePort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	_, err = natsserver.Start(t.Context(), natsserver.Options{StoreDir: t.TempDir(), Port: port})
	require.ErrorContains(t, err, fmt.Sprintf("port %d is not free", port))
}

func TestOptionsSetDirectoryPortAndCredentials(t *testing.T) {
	t.Parallel()
	_, err := natsserver.Start(t.Context(), natsserver.Options{})
	require.ErrorContains(t, err, "store directory is required")

	s := start(t.Context(), t, natsserver.Options{StoreDir: t.TempDir(), Port: -1})
	require.Empty(t, s.URL(), "no port, no URL")

	s = start(t.Context(), t, natsserver.Options{StoreDir: t.TempDir(), User: "u", Password: "p/w"})
	require.True(t, strings.HasPrefix(s.URL(), "nats://u:p%2Fw@127.0.0.1:"), s.URL())
}

func Example() {
	ctx := context.Background()
	s, err := natsserver.Start(ctx, natsserver.Options{}) // StoreDir: "…/nats"
	if err != nil {
		fmt.Println(err)
		return
	}
	nc, err := s.Connect()
	if err == nil {
		nc.Close()
	}
	fmt.Println(errors.Join(err, s.Stop(ctx)))
	// Output: nats: a store directory is required
}

func TestStreamCreatedDuringStopIsClosed(t *testing.T) {
	t.Parallel()
	for range 20 { // in TestMain, goleak finds the goroutines of an open stream
		ctx := t.Context()
		s := start(ctx, t, natsserver.Options{StoreDir: t.TempDir(), Port: -1, NoSync: true})
		nc, err := s.Connect()
		require.NoError(t, err)
		for i := range 5 { // the client does not wait for the replies
			require.NoError(
				t,
				nc.Publish(fmt.Sprintf("$JS.API.STREAM.CREATE.S%d", i),
					fmt.Appendf(nil, `{"name":"S%d","subjects":["s%d.>"]}`, i, i)),
			)
		}
		require.NoError(t, nc.Flush())
		nc.Close()
		require.NoError(t, s.Stop(ctx))
	}
}
