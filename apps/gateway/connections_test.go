package gateway

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// listen accepts connections within bounds, and sends them to a channel.
func listen(t *testing.T, most, perAddress int, proxies ...netip.Prefix) (*boundedListener, chan net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := newBoundedListener(ln, most, perAddress, proxies, prometheus.NewRegistry())
	require.NoError(t, err)
	accepted := make(chan net.Conn, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		waittest.Receive(t, done)
	})
	return l, accepted
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// closed asserts that the other side closes the connection.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(waittest.Timeout)))
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection stays open")
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for name, tt := range map[string]struct {
		most, perAddress int
		proxies          []netip.Prefix
		limit            string // "": three connections pass
	}{
		"all":     {2, 0, nil, "all"},
		"address": {0, 2, nil, "address"},
		"proxy":   {0, 2, []netip.Prefix{loopback}, ""},
		"none":    {0, 0, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, accepted := listen(t, tt.most, tt.perAddress, tt.proxies...)
			dial(t, l)
			first := waittest.Receive(t, accepted)
			dial(t, l)
			waittest.Receive(t, accepted)
			third := dial(t, l)
			if tt.limit == "" {
				waittest.Receive(t, accepted)
				return
			}
			closed(t, third)
			require.EqualValues(t, 1, testutil.ToFloat64(l.refused.WithLabelValues(tt.limit)))
			require.NoError(t, first.Close())
			require.Error(t, first.Close(), "net/http closes some connections twice")
			dial(t, l)
			waittest.Receive(t, accepted)
			closed(t, dial(t, l))
		})
	}
}
