// Package redistest gives tests a Redis.
//
// Addr and Client use the server of SOUK_TEST_REDIS_ADDR (host:port, or a socket's path). If that is unset, each test
// process starts one server, which ends with the process. Tests share the server, so they take unique keys from Key.
// A test that flushes, configures or stops Redis starts its own server with Private, which is ready in 20 ms.
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

	"souk/pkg/devstack"
)

const timeout = 30 * time.Second

// shared is the server that this test process has started. No test owns it, so its guard stops it when the
// process ends.
var shared struct {
	mu    sync.Mutex
	redis *devstack.Redis
}

// Addr returns the address of the Redis that the tests share: host:port, or the path of a unix socket.
func Addr(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv("SOUK_TEST_REDIS_ADDR"); addr != "" {
		return addr
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.redis == nil {
		shared.redis = start(t)
	}
	return shared.redis.Addr()
}

// Key returns a key that no other test uses.
func Key(t testing.TB, name string) string {
	t.Helper()
	return "test:" + rand.Text() + ":" + name
}

// Client returns a client of the Redis that the tests share; it is closed when the test ends.
func Client(t testing.TB) rueidis.Client {
	t.Helper()
	return Open(t, Addr(t))
}

// Private starts a server for this test alone. It is stopped when the test ends; the test may stop it earlier.
func Private(t testing.TB) *devstack.Redis {
	t.Helper()
	r := start(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("stop Redis: %v", err)
		}
	})
	return r
}

// Open returns a client of the Redis at addr; it is closed when the test ends.
func Open(t testing.TB, addr string) rueidis.Client {
	t.Helper()
	o := rueidis.ClientOption{InitAddress: []string{addr}}
	if strings.HasPrefix(addr, "/") {
		o = rueidis.MustParseURL("unix://" + addr)
	}
	// As in redisx, one connection keeps invalidations in order with answers.
	o.ForceSingleClient, o.PipelineMultiplex = true, -1
	client, err := rueidis.NewClient(o)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func start(t testing.TB) *devstack.Redis {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Temporary: true})
	require.NoError(t, err)
	return r
}
