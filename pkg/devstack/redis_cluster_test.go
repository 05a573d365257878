package devstack_test

import (
	"bufio"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
	"souk/pkg/waittest"
)

func TestClusterServesAllSlotsAndReplicasFollow(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	dir := dataDir(t)
	for range 2 { // the second one replaces what the first left
		c, err := devstack.StartRedisCluster(ctx, devstack.RedisClusterOptions{Dir: dir, Replicas: 1})
		require.NoError(t, err)
		require.Len(t, c.Addrs(), 6)
		require.Len(t, c.Nodes(), 6)
		first, replica := c.Nodes()[0].Addr(), c.Nodes()[3].Addr()
		require.Contains(t, tcp(t, c.Addrs()[0]), "+PONG")
		require.Equal(t, "+OK", redis(t, first, "SET", "b", "1"), "slot 3300 is the first master's")
		require.True(t, strings.HasPrefix(redis(t, first, "GET", "a"), "-MOVED 15495 "+c.Addrs()[2]))
		require.Equal(t, ":1", redis(t, first, "WAIT", "1", "10000"))
		require.Equal(t, ":1", redis(t, replica, "DBSIZE"))
		require.NoError(t, c.Stop(ctx))
		require.NoError(t, c.Stop(ctx), "twice is allowed")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "redis.sock"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTemporaryClusterAndSentinelsLeaveNothing(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	c, err := devstack.StartRedisCluster(ctx, devstack.RedisClusterOptions{Temporary: true})
	require.NoError(t, err)
	s, err := devstack.StartRedisSentinel(ctx, 3, 1)
	require.NoError(t, err)
	require.Len(t, s.Addrs(), 3)
	sentinel := s.Nodes()[2].Addr()
	waittest.Until(t, func() bool {
		return strings.HasPrefix(redis(t, sentinel, "SENTINEL", "CKQUORUM", devstack.SentinelMaster), "+OK 3 usable")
	}, "the sentinels do not find one another")
	require.NoError(t, c.Stop(ctx))
	require.NoError(t, s.Stop(ctx))
	for _, n := range append(c.Nodes(), s.Nodes()...) {
		require.NoDirExists(t, filepath.Dir(n.Addr()))
	}
}

// tcp sends PING over TCP and returns the answer.
func tcp(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = conn.Write([]byte("PING\r\n"))
	require.NoError(t, err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	return answer
}
