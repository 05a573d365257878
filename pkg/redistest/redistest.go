// Package redistest gives tests a Redis.
//
// Addr and Client give that of SOUK_TEST_REDIS_ADDR (host:port, or a socket's path) when it is set, and
// otherwise one that is started once a test process and gone with it. Tests share it, so their keys must differ:
// Key makes them so. A test that flushes, configures or stops Redis takes a server of its own from Private,
// which is ready in 20 ms.
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

const patience = 30 * time.Second

// shared is the server that this test process has started for itself. It has no owner who could stop it, so
// its guard does when the process ends.
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

// Private starts a server for this test alone. It may be stopped by the test; it is when the test ends.
func Private(t testing.TB) *devstack.Redis {
	t.Helper()
	r := start(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
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
	o.ForceSingleClient, o.PipelineMultiplex = true, -1 // as redisx does: notices of changes keep their place among answers
	client, err := rueidis.NewClient(o)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func start(t testing.TB) *devstack.Redis {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Temporary: true})
	require.NoError(t, err)
	return r
}
