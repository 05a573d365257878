package operate

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

// redisProblems returns what doctor finds and advises, and how many problems there are.
func redisProblems(t *testing.T, cfg redisx.Config) (text string, problems int) {
	t.Helper()
	list := examineRedis(t.Context(), &Souk{redis: cfg})
	for _, d := range list {
		text += fmt.Sprintf("%s: %s (%s)\n", d.what, d.found, d.advice)
	}
	return text, ailing(list)
}

func TestDoctorFindsARedisThatEvicts(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Temporary: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.Background())) })
	cfg := redisx.Config{Addr: server.Addr()}
	found, problems := redisProblems(t, cfg)
	require.Zero(t, problems, found)
	require.Contains(t, found, "one server with 0 replicas")
	client := redistest.Open(t, cfg)
	policy := client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory-policy", "allkeys-lru").Build()
	require.NoError(t, client.Do(t.Context(), policy).Error())
	found, problems = redisProblems(t, cfg)
	require.Equal(t, 1, problems, found)
	require.Contains(t, found, "allkeys-lru: at its limit it deletes sessions and carts (CONFIG SET maxmemory-policy")
}

func TestDoctorNamesThePrimaryOfSentinels(t *testing.T) {
	t.Parallel()
	group, err := devstack.StartRedisSentinel(t.Context(), 1, 1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, group.Stop(context.Background())) })
	found, problems := redisProblems(t, redisx.Config{Sentinels: group.Addrs(), Master: devstack.SentinelMaster})
	require.Zero(t, problems, found)
	require.Contains(t, found, "the primary of the sentinels is 127.0.0.1:")
	require.Contains(t, found, "with 1 replicas")
}

func TestDoctorFindsAMasterOfAClusterThatIsAway(t *testing.T) {
	t.Parallel()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	group, err := devstack.StartRedisCluster(
		t.Context(),
		devstack.RedisClusterOptions{Dir: dir, NodeTimeout: time.Second},
	)
	require.NoError(t, err)
	t.Cleanup(func() { _ = group.Stop(context.Background()) }) // one node has been killed
	cfg := redisx.Config{Cluster: group.Addrs()}
	found, problems := redisProblems(t, cfg)
	require.Zero(t, problems, found)
	require.Contains(t, found, "a cluster of 3 masters and 0 replicas")
	require.NoError(t, syscall.Kill(group.Nodes()[1].PID(), syscall.SIGKILL))
	waittest.Until(t, func() bool {
		found, problems = redisProblems(t, cfg)
		return problems == 2 && strings.Contains(found, " of 16384 are served")
	}, "doctor does not find that a master is away")
	require.Contains(t, found, "no answer from "+group.Addrs()[1])
}
