package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"souk/pkg/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout is the longest wait of a test.
const timeout = 10 * time.Second

// serve runs a server with the handler slow until stop, and returns its URL.
func serve(
	t *testing.T, drain time.Duration, slow http.HandlerFunc,
) (s *server, url string, stop context.CancelFunc, done chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s = &server{
		http: &http.Server{Handler: slow, ReadHeaderTimeout: timeout}, listener: ln, drain: drain, logger: zap.NewNop(),
		redis: func(context.Context) error { return nil }, backends: &backends{names: []string{"cart"}, reach: reached},
		streams:  make(chan struct{}),
		settings: noSettings{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, "http://" + ln.Addr().String(), cancel, done
}

type noSettings struct{}

func (noSettings) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (noSettings) Ready(context.Context) error { return nil }

func reached(context.Context, string) error { return nil }

// receive returns the next value of c, and fails the test if none arrives in time.
func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(timeout):
		require.Fail(t, "timeout", "waiting for %s", what)
	}
	return v
}

type result struct {
	body string
	err  error
}

func get(url string) result {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout}
	res, err := client.Get(url)
	if err != nil {
		return result{err: err}
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // read to its end
	return result{string(body), err}
}

func TestStopWaitsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s, url, stop, done := serve(t, timeout, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		select {
		case <-release:
		case <-time.After(2 * timeout): // the test has failed
		}
		_, _ = io.WriteString(w, "whole")
	})
	answered := make(chan result, 1)
	go func() { answered <- get(url) }()
	receive(t, entered, "the request")
	require.NoError(t, s.Ready(t.Context()))
	stop()
	require.Eventually(t, func() bool { return s.Ready(t.Context()) != nil && get(url).err != nil }, timeout,
		time.Millisecond, "no new requests")
	select {
	case err := <-done:
		require.Fail(t, "Run did not wait", "%v", err)
	default:
	}
	close(release)
	require.Equal(t, result{body: "whole"}, receive(t, answered, "the answer"))
	require.NoError(t, receive(t, done, "the end of Run"))
}

// TestStopUnderLoadCutsNoConnection: every request on a connection that was opened while the gateway was ready is
// answered, the last one with "Connection: close".
func TestStopUnderLoadCutsNoConnection(t *testing.T) {
	t.Parallel()
	s, url, stop, done := serve(
		t,
		timeout,
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
	)
	s.http.Handler = s.closeWhenStopping(s.http.Handler)
	s.lameDuck = 200 * time.Millisecond
	const clients = 8
	var served, duringLameDuck atomic.Int64
	ends := make(chan error, clients)
	for i := range clients {
		go func() {
			transport := &http.Transport{DisableKeepAlives: i%4 == 3}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: timeout}
			for {
				// A POST is not repeated by net/http when its connection is cut.
				res, err := client.Post(url, "text/plain", strings.NewReader("x"))
				if err != nil {
					ends <- err
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				if err = errors.Join(err, res.Body.Close()); err != nil {
					ends <- err
					return
				}
				served.Add(1)
				if s.stopping.Load() && !s.closing.Load() {
					duringLameDuck.Add(1)
				}
				if s.stopping.Load() && res.Close {
					ends <- nil // as a load balancer, which opens no connection to a gateway that is not ready
					return
				}
			}
		}()
	}
	require.Eventually(t, func() bool { return served.Load() > 10*clients }, timeout, time.Millisecond)
	require.NoError(t, s.Ready(t.Context()))
	stop()
	require.Eventually(t, func() bool { return s.Ready(t.Context()) != nil }, timeout, time.Millisecond)
	for range clients {
		require.NoError(t, receive(t, ends, "the end of a client"))
	}
	require.NoError(t, receive(t, done, "the end of Run"))
	require.Positive(t, duringLameDuck.Load(), "the lame duck serves")
	require.Less(t, s.lameDuck+lastRequests+s.drain, s.StopTimeout())
}

func TestGatewayIsReadyOnceItHasReachedEveryService(t *testing.T) {
	t.Parallel()
	up := map[string]bool{"cart": true}
	b := newBackends(func(_ context.Context, service string) error {
		if !up[service] {
			return errs.New(errs.Unavailable, "down")
		}
		return nil
	})
	require.Contains(t, b.names, "product")
	require.ErrorContains(t, b.check(t.Context()), "is not reached yet")
	for _, name := range b.names {
		up[name] = true
	}
	require.NoError(t, b.check(t.Context()))
	up["product"] = false
	require.NoError(t, b.check(t.Context()), "the others are served")
	clear(up)
	require.Error(t, b.check(t.Context()), "it reaches nothing")
}

func TestDrainTimeoutCutsRequestsOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	_, url, stop, done := serve(t, 20*time.Millisecond, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		select {
		case <-r.Context().Done():
		case <-time.After(2 * timeout): // the test has failed
		}
	})
	answered := make(chan result, 1)
	go func() { answered <- get(url) }()
	receive(t, entered, "the request")
	stop()
	require.NoError(t, receive(t, done, "the end of Run"))
	require.Error(t, receive(t, answered, "the answer").err)
}

func TestConfigRejectsInvalidValues(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"addr":            func(c *Config) { c.Addr = "" },
		"max_body":        func(c *Config) { c.MaxBody = 1 },
		"timeout":         func(c *Config) { c.Timeout = 0 },
		"lame_duck":       func(c *Config) { c.LameDuck = -1 },
		"stale_if_error":  func(c *Config) { c.Cache.StaleIfError = -1 },
		"any.example":     func(c *Config) { c.Origins = []string{"any.example"} },
		"origins":         func(c *Config) { c.Origins = []string{"*"} },
		"trusted_proxies": func(c *Config) { c.TrustedProxies = []string{"10.0.0.1"} },
		"public_url":      func(c *Config) { c.PublicURL = "shop.example" },
		"dev_url":         func(c *Config) { c.DevURL = "ftp://x" },
		"cache.max_bytes": func(c *Config) { c.Cache.MaxBytes = -1 },
		"caller_rate":     func(c *Config) { c.CallerRate.PerSecond = -1 },
		"address_rate":    func(c *Config) { c.AddressRate.Burst = -1 },
	} {
		c := Default()
		require.NoError(t, c.Validate())
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	for addr, url := range map[string]string{
		":80": "http://127.0.0.1:80", "0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80",
		"10.1.2.3:80": "http://10.1.2.3:80", "shop:80": "http://shop:80",
	} {
		require.Equal(t, url, (&Config{Addr: addr}).publicURL())
	}
}
