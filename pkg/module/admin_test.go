package module_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/waittest"
)

func TestAdminListenerShowsHealthAndMetrics(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	down := errors.New("no database")
	state := func() error {
		mu.Lock()
		defer mu.Unlock()
		return down
	}
	var j journal
	c := &catalogue{from: make(chan identity.Actor, 1)}
	var products productv1.ProductServiceClient
	addr := freeAddr(t)
	listen := module.Options{Config: settings(t, map[string]any{"admin": map[string]any{"addr": addr}})}
	slow := built("gateway", part{run: func(ctx context.Context) error { <-ctx.Done(); return nil }, ready: state}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, admin: addr, stop: cancel, done: make(chan error, 1)}
	ready := make(chan struct{})
	listen.Logs, listen.OnReady = io.Discard, func(string) { close(ready) }
	go func() { p.done <- module.Run(ctx, listen, c.module(&j), caller("order", &products), slow) }()
	waittest.Until(t, func() bool {
		res, err := client.Get("http://" + addr + "/health/ready")
		if err != nil {
			return false
		}
		body, err := io.ReadAll(res.Body)
		return errors.Join(err, res.Body.Close()) == nil && res.StatusCode == http.StatusServiceUnavailable &&
			strings.Contains(string(body), "gateway: no database")
	}, "it does not say what is missing")
	code, _ := p.get("/health/live")
	require.Equal(t, http.StatusOK, code, "alive before it is ready")
	select {
	case <-ready:
		require.Fail(t, "ready too early")
	default:
	}
	mu.Lock()
	down = nil
	mu.Unlock()
	waittest.Receive(t, ready)
	code, _ = p.get("/health/ready")
	require.Equal(t, http.StatusOK, code)

	_, err := products.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "prd_1"})
	require.NoError(t, err)
	other, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	require.NoError(t, err)
	other.Host = "evil.example"
	res, err := client.Do(other)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusMisdirectedRequest, res.StatusCode)
	_, metrics := p.get("/metrics")
	require.Contains(t, metrics, "go_goroutines")
	require.Regexp(t, `rpc_server_\w+\{[^}]*service="product"`, metrics)
	require.Regexp(t, `rpc_client_\w+\{[^}]*service="order"`, metrics)
	code, _ = p.get("/debug/pprof/cmdline")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, p.end())
}

// freeAddr returns an address on which no process listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

func TestProfilesAreServedOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	var j journal
	p := start(t, module.Options{Config: settings(t, map[string]any{"admin": map[string]any{"addr": "0.0.0.0:0"}})},
		j.fake("product"))
	_, port, _ := strings.Cut(strings.TrimPrefix(p.admin, "[::]"), ":")
	p.admin = "127.0.0.1:" + port
	code, _ := p.get("/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code)
	code, _ = p.get("/health/live")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, p.end())
	p = start(t, module.Options{Config: settings(t, map[string]any{"admin": map[string]any{"addr": ""}})},
		j.fake("product"))
	require.Empty(t, p.admin)
	require.NoError(t, p.end())
}
