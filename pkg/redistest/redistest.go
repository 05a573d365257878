// Package redistest gives tests a Redis.
//
// SOUK_TEST_REDIS says which kind: single (the default), sentinel (a primary and a sentinel) or cluster (three masters).
// Tests that take their configuration from Config or Private run on each kind.
//
// Config and Client use the servers of SOUK_TEST_REDIS_ADDR: host:port or a socket's path, and for the other kinds the
// addresses of sentinels or nodes, separated by commas. If it is unset, each test process starts servers, which end with
// the process. Tests share them, so they take unique keys from Key. A test that flushes, configures or stops Redis
// starts its own with Private, which is ready in 20 ms, or as a cluster in 2 s.
package redistest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack"
	"souk/pkg/redisx"
)

// Main runs a package's tests, and fails if they leave goroutines. It ignores those with which a closed client of a
// cluster sleeps for some seconds before they end.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

const timeout = 30 * time.Second

// The kinds of SOUK_TEST_REDIS.
const (
	sentinel = "sentinel"
	cluster  = "cluster"
)

// kind returns the kind of Redis that tests use.
func kind(t testing.TB) string {
	t.Helper()
	k := os.Getenv("SOUK_TEST_REDIS")
	require.Contains(t, []string{"", "single", sentinel, cluster}, k, "SOUK_TEST_REDIS")
	return k
}

// Server is a Redis of any kind.
type Server struct {
	cfg     redisx.Config
	stop    func(context.Context) error
	stopped bool
}

// Config returns how one connects to the server.
func (s *Server) Config() redisx.Config { return s.cfg }

// Stop stops the server. It may be called twice.
func (s *Server) Stop(ctx context.Context) error {
	s.stopped = true
	return s.stop(ctx)
}

// servers are those that this test process has started for more than one test. No test owns them, so their guards stop
// them when the process ends.
var servers struct {
	mu     sync.Mutex
	shared *Server
	// idle are empty clusters that private tests have used.
	idle []*Server
}

// Config returns how one connects to the Redis that the tests share.
func Config(t testing.TB) redisx.Config {
	t.Helper()
	if addr := os.Getenv("SOUK_TEST_REDIS_ADDR"); addr != "" {
		return config(kind(t), strings.Split(addr, ","))
	}
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.shared == nil {
		servers.shared = start(t)
	}
	return servers.shared.cfg
}

func config(kind string, addrs []string) redisx.Config {
	switch kind {
	case sentinel:
		return redisx.Config{Sentinels: addrs, Master: devstack.SentinelMaster}
	case cluster:
		return redisx.Config{Cluster: addrs}
	}
	return redisx.Config{Addr: addrs[0]}
}

// Section returns the section redis of a configuration file that connects as cfg does.
func Section(cfg redisx.Config) map[string]any {
	switch {
	case len(cfg.Cluster) > 0:
		return map[string]any{"cluster": cfg.Cluster}
	case len(cfg.Sentinels) > 0:
		return map[string]any{"sentinels": cfg.Sentinels, "master": cfg.Master}
	}
	return map[string]any{"addr": cfg.Addr}
}

// Key returns a key that no other test uses.
func Key(t testing.TB, name string) string {
	t.Helper()
	return "test:" + rand.Text() + ":" + name
}

// Client returns a client of the Redis that the tests share; it is closed when the test ends.
func Client(t testing.TB) rueidis.Client {
	t.Helper()
	return Open(t, Config(t))
}

// Private starts a server for this test alone. It is stopped when the test ends; the test may stop it earlier. A cluster
// is not stopped but emptied, for the next test.
func Private(t testing.TB) *Server {
	t.Helper()
	if kind(t) == cluster {
		return privateCluster(t)
	}
	s := start(t)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func privateCluster(t testing.TB) *Server {
	t.Helper()
	var s *Server
	servers.mu.Lock()
	if n := len(servers.idle); n > 0 {
		s, servers.idle = servers.idle[n-1], servers.idle[:n-1]
	}
	servers.mu.Unlock()
	if s == nil {
		s = start(t)
	}
	t.Cleanup(func() {
		if s.stopped {
			return
		}
		if err := empty(s.cfg); err != nil { // the test has broken it
			stop(t, s)
			return
		}
		servers.mu.Lock()
		defer servers.mu.Unlock()
		servers.idle = append(servers.idle, s)
	})
	return s
}

func stop(t testing.TB, s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop Redis: %v", err)
	}
}

// empty deletes all keys of a cluster of masters.
func empty(cfg redisx.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	client, err := redisx.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, node := range client.Nodes() {
		if err := node.Do(ctx, node.B().Flushall().Build()).Error(); err != nil {
			return err
		}
	}
	return nil
}

// Open returns a client of a Redis; it is closed when the test ends. Unless cfg has timeouts, it is patient, because a
// busy machine's Redis answers late.
func Open(t testing.TB, cfg redisx.Config) rueidis.Client {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = timeout
	}
	client, err := redisx.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func start(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch k := kind(t); k {
	case sentinel:
		g, err := devstack.StartRedisSentinel(ctx, 1, 0)
		require.NoError(t, err)
		return &Server{cfg: config(k, g.Addrs()), stop: g.Stop}
	case cluster:
		g, err := devstack.StartRedisCluster(ctx, devstack.RedisClusterOptions{Temporary: true})
		require.NoError(t, err)
		return &Server{cfg: config(k, g.Addrs()), stop: g.Stop}
	}
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Temporary: true})
	require.NoError(t, err)
	return &Server{cfg: config("", []string{r.Addr()}), stop: r.Stop}
}
