package redisx_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
	"souk/pkg/errs"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

func startCluster(t *testing.T, replicas int) *devstack.RedisGroup {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	c, err := devstack.StartRedisCluster(t.Context(), devstack.RedisClusterOptions{
		Dir: dir, Replicas: replicas, NodeTimeout: time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Stop(context.Background()) // the test has killed a node
		require.NoError(t, os.RemoveAll(dir))
	})
	return c
}

func TestClusterConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]redisx.Config{
		"cluster":                {Cluster: []string{"nowhere"}},
		"addr":                   {Cluster: []string{"127.0.0.1:1"}, Addr: "127.0.0.1:2"},
		"db":                     {Cluster: []string{"127.0.0.1:1"}, DB: 1},
		"cluster with sentinels": {Cluster: []string{"127.0.0.1:1"}, Sentinels: []string{"127.0.0.1:2"}, Master: "souk"},
	} {
		_, err := redisx.Open(t.Context(), cfg)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", field, err)
	}
	_, err := redisx.Open(t.Context(), redisx.Config{Cluster: []string{"127.0.0.1:1", "127.0.0.1:2"}})
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
	require.ErrorContains(t, err, "the cluster 127.0.0.1:1, 127.0.0.1:2 does not answer")
}

// A node of a cluster that is configured as a server of its own would refuse most keys, but not all.
func TestClusterAndSingleServerAreNotMistakenForOneAnother(t *testing.T) {
	t.Parallel()
	cluster, single := startCluster(t, 0), newServer(t)
	_, err := redisx.Open(t.Context(), redisx.Config{Addr: cluster.Addrs()[0]})
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	require.ErrorContains(t, err, "is a node of a Redis Cluster: set cluster instead")
	_, err = redisx.Open(t.Context(), redisx.Config{Cluster: []string{single.addr()}})
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	require.ErrorContains(t, err, "is not a node of a Redis Cluster: set addr")
}

func TestClusterOpensByOneOfItsNodes(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t, 0)
	client := open(t, redisx.Config{Cluster: []string{"127.0.0.1:1", cluster.Addrs()[2]}})
	for n := range 50 {
		key := strconv.Itoa(n)
		require.NoError(t, client.Do(t.Context(), client.B().Set().Key(key).Value("v").Build()).Error())
		v, err := client.DoCache(t.Context(), client.B().Get().Key(key).Cache(), time.Minute).ToString()
		require.NoError(t, err)
		require.Equal(t, "v", v)
	}
	require.Panics(t, func() { client.B().Del().Key("a", "b").Build() }, "keys of two slots are a bug of souk")
}

// writer writes the keys {n}:1, {n}:2, … of a slot, one after the other, and notes how long a write has failed.
type writer struct {
	written acknowledged

	mu   sync.Mutex
	away time.Duration
}

func (w *writer) run(client rueidis.Client, tag int, stop <-chan struct{}) {
	last := time.Now()
	for n := 1; ; {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Sprintf("{%d}:%d", tag, n)
		if client.Do(context.Background(), client.B().Set().Key(key).Value("v").Build()).Error() == nil {
			w.mu.Lock()
			w.away = max(w.away, time.Since(last))
			w.mu.Unlock()
			w.written.set(n)
			last = time.Now()
			n++
		}
	}
}

func (w *writer) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.away
}

// TestClusterFailsOverUnderLoad kills a master during writes to all. Its replica takes over within 5 seconds and has all
// that had reached it. The writes to the other masters go on.
func TestClusterFailsOverUnderLoad(t *testing.T) {
	t.Parallel()
	const writers = 12 // their keys are on all masters
	ctx := t.Context()
	cluster := startCluster(t, 1)
	client := open(t, redisx.Config{Cluster: cluster.Addrs()})
	all := make([]writer, writers)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for tag := range all {
		running.Go(func() { all[tag].run(client, tag, stop) })
	}
	t.Cleanup(func() {
		close(stop)
		running.Wait()
	})
	progress := func(from []int, n int) bool {
		for tag := range all {
			if all[tag].written.get() < from[tag]+n {
				return false
			}
		}
		return true
	}
	count := func() (out []int) {
		for tag := range all {
			out = append(out, all[tag].written.get())
		}
		return out
	}
	waittest.Until(t, func() bool { return progress(make([]int, writers), 100) }, "nothing is written")
	replicated := count()
	for i, master := range cluster.Addrs()[:3] {
		want := offset(t, master, "master_repl_offset")
		waittest.Until(t, func() bool { return offset(t, cluster.Addrs()[3+i], "slave_repl_offset") >= want },
			"the writes do not reach the replica")
	}
	require.NoError(t, syscall.Kill(cluster.Nodes()[1].PID(), syscall.SIGKILL))
	before := count()
	waittest.Until(t, func() bool { return progress(before, 100) }, "the client does not follow the failover")
	var away []time.Duration
	for tag := range all {
		away = append(away, all[tag].longest())
		require.Less(t, all[tag].longest(), 5*time.Second, "writes of slot {%d} failed", tag)
	}
	t.Logf("the longest gaps between writes: %v", away)
	for tag, last := range replicated {
		for n := 1; n <= last; n++ {
			key := fmt.Sprintf("{%d}:%d", tag, n)
			require.NoError(t, client.Do(ctx, client.B().Get().Key(key).Build()).Error(), "%s is lost", key)
		}
	}
}

// offset returns a replication offset of a node.
func offset(t *testing.T, addr, which string) int {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true})
	require.NoError(t, err)
	defer c.Close()
	info, err := c.Do(t.Context(), c.B().Info().Section("replication").Build()).ToString()
	require.NoError(t, err)
	_, rest, _ := strings.Cut(info, which+":")
	text, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(text)
	require.NoError(t, err, info)
	return n
}
