package natstest_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/natstest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachConnHasItsOwnJetStream(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			js, err := jetstream.New(natstest.Conn(t))
			require.NoError(t, err)
			stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
			require.NoError(t, err)
			_, err = js.Publish(ctx, "s.x", []byte("hello"))
			require.NoError(t, err)
			info, err := stream.Info(ctx)
			require.NoError(t, err)
			require.EqualValues(t, 1, info.State.Msgs)
		})
	}
}

func TestServerRefusesWrongPassword(t *testing.T) {
	t.Parallel()
	s := natstest.Server(t)
	closed := make(chan struct{})
	nc, err := nats.Connect(s.URL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	nc.Close()
	waittest.Receive(t, closed)

	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	_, err = nats.Connect("nats://"+u.Host, nats.UserInfo("souk", "wrong"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func ExampleConn() {
	_ = func(t *testing.T) { // a test
		nc := natstest.Conn(t)
		require.NoError(t, nc.Publish("subject", nil))
	}
	// Output:
}
