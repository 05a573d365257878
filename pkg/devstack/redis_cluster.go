package devstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// slots is the number of hash slots of a Redis Cluster.
	slots = 16384
	// SentinelMaster is the name by which the sentinels of [StartRedisSentinel] know the primary.
	SentinelMaster = "souk"
	// portAttempts is how often servers are started on other ports, because a port was taken in the meantime.
	portAttempts = 3
)

// RedisClusterOptions set the size of a Redis Cluster and where it keeps its data.
type RedisClusterOptions struct {
	// Dir holds a folder for each node. Required, unless Temporary.
	Dir string
	// Temporary is as in [RedisOptions].
	Temporary bool
	// Masters is the number of masters. Default: 3.
	Masters int
	// Replicas is the number of replicas of each master. Default: 0.
	Replicas int
	// NodeTimeout is how long a master must be unreachable before its replica takes over. Default: 2 s.
	NodeTimeout time.Duration
	// Binary is as in [RedisOptions].
	Binary string
}

// RedisGroup is several redis-servers that belong together: a cluster, or a primary and its sentinels.
type RedisGroup struct {
	nodes []*Redis
	addrs []string
}

// Addrs returns host:port of each node of a cluster, first of the masters, then of their replicas in the same order.
// Of a primary with sentinels it returns those of the sentinels.
func (g *RedisGroup) Addrs() []string { return g.addrs }

// Nodes returns the servers. Those of a cluster are in the order of Addrs. Of a primary with sentinels, the primary is
// the first, and the replicas follow.
func (g *RedisGroup) Nodes() []*Redis { return g.nodes }

// Stop stops all servers. It may be called twice.
func (g *RedisGroup) Stop(ctx context.Context) error {
	failed := make([]error, len(g.nodes))
	var all errgroup.Group
	for i, n := range g.nodes {
		all.Go(func() error {
			failed[i] = n.Stop(ctx)
			return nil
		})
	}
	return errors.Join(all.Wait(), errors.Join(failed...))
}

// StartRedisCluster starts a Redis Cluster on free ports of loopback, and waits until it takes writes, which is about
// two seconds. The nodes never evict a key. A cluster whose Dir has been used before has other ports and no data.
func StartRedisCluster(ctx context.Context, o RedisClusterOptions) (*RedisGroup, error) {
	if o.Masters == 0 {
		o.Masters = 3
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = 2 * time.Second
	}
	if o.Dir == "" && !o.Temporary {
		return nil, errors.New("redis cluster: a data directory is required")
	}
	g, err := retryPorts(ctx, func(ctx context.Context) (*RedisGroup, error) { return startCluster(ctx, o) })
	if err != nil {
		return nil, fmt.Errorf("redis cluster: %w", err)
	}
	return g, nil
}

func startCluster(ctx context.Context, o RedisClusterOptions) (*RedisGroup, error) {
	n := o.Masters * (1 + o.Replicas)
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	g := &RedisGroup{}
	ids := make([]string, n)
	for i := range n {
		var random [20]byte
		_, _ = rand.Read(random[:]) // never fails
		ids[i] = hex.EncodeToString(random[:])
		g.addrs = append(g.addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])))
	}
	for i := range n {
		dir := ""
		if !o.Temporary {
			dir = filepath.Join(o.Dir, strconv.Itoa(i))
			if err := os.RemoveAll(dir); err != nil {
				return g, err
			}
		}
		r := &Redis{o: RedisOptions{Dir: dir, Temporary: o.Temporary, Port: ports[i], Binary: o.Binary}}
		g.nodes = append(g.nodes, r)
		if err := r.prepare(ctx); err != nil {
			return g, err
		}
		r.extra = []string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(ports[n+i]),
			"--cluster-node-timeout", strconv.FormatInt(o.NodeTimeout.Milliseconds(), 10),
			// The other masters serve their keys while one master is away.
			"--cluster-require-full-coverage", "no", "--cluster-config-file", "nodes.conf",
			"--repl-diskless-sync-delay", "0",
		}
		conf := clusterConfig(ids, ports, o.Masters, i)
		if err := os.WriteFile(filepath.Join(r.o.Dir, "nodes.conf"), []byte(conf), 0o600); err != nil {
			return g, err
		}
	}
	return g, g.begin(ctx, func(ctx context.Context, i int) error {
		return awaitAnswer(ctx, g.nodes[i], "CLUSTER INFO", "cluster_state:ok", i >= o.Masters)
	})
}

// clusterConfig is what a node of a cluster that has been formed before reads when it starts again. So the nodes need
// no introduction to one another.
func clusterConfig(ids []string, ports []int, masters, self int) string {
	var b strings.Builder
	for i, id := range ids {
		role, of, served := "master", "-", fmt.Sprintf(" %d-%d", i*slots/masters, (i+1)*slots/masters-1)
		if i >= masters {
			role, of, served = "slave", ids[i%masters], ""
		}
		if i == self {
			role = "myself," + role
		}
		fmt.Fprintf(&b, "%s 127.0.0.1:%d@%d %s %s 0 0 %d connected%s\n",
			id, ports[i], ports[len(ids)+i], role, of, i%masters+1, served)
	}
	fmt.Fprintf(&b, "vars currentEpoch %d lastVoteEpoch 0\n", masters)
	return b.String()
}

// awaitAnswer waits until a server's answer to the command contains the text, and a replica has all of its master.
func awaitAnswer(ctx context.Context, r *Redis, command, text string, replica bool) error {
	for {
		answer, err := r.ask(ctx, command)
		linked := "master_link_status:up"
		if replica && err == nil {
			linked, err = r.ask(ctx, "INFO replication")
		}
		if err == nil && strings.Contains(answer, text) && strings.Contains(linked, "master_link_status:up") {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not say %s%s", command, text, logTail(r.logFile())), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// StartRedisSentinel starts a primary, its replicas and so many sentinels, which know it as [SentinelMaster], on free
// ports of loopback. They keep nothing after they end, and never evict a key. A replica takes over from a primary that
// has been unreachable for two seconds.
func StartRedisSentinel(ctx context.Context, sentinels, replicas int) (*RedisGroup, error) {
	g, err := retryPorts(ctx, func(ctx context.Context) (*RedisGroup, error) {
		return startSentinel(ctx, sentinels, replicas)
	})
	if err != nil {
		return nil, fmt.Errorf("redis sentinel: %w", err)
	}
	return g, nil
}

func startSentinel(ctx context.Context, sentinels, replicas int) (*RedisGroup, error) {
	ports, err := freePorts(1 + replicas + sentinels)
	if err != nil {
		return nil, err
	}
	g := &RedisGroup{}
	for i, port := range ports {
		r := &Redis{o: RedisOptions{Temporary: true, Port: port}}
		g.nodes = append(g.nodes, r)
		if err := r.prepare(ctx); err != nil {
			return g, err
		}
		if 0 < i && i <= replicas {
			r.extra = []string{"--replicaof", "127.0.0.1", strconv.Itoa(ports[0]), "--repl-diskless-sync-delay", "0"}
		}
		if i <= replicas {
			continue
		}
		g.addrs = append(g.addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		file := filepath.Join(r.o.Dir, "sentinel.conf")
		conf := fmt.Sprintf(`sentinel monitor %[1]s 127.0.0.1 %[2]d %[3]d
sentinel down-after-milliseconds %[1]s 2000
sentinel failover-timeout %[1]s 6000
`, SentinelMaster, ports[0], sentinels/2+1)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return g, err
		}
		r.sentinel = file
	}
	return g, g.begin(ctx, func(ctx context.Context, i int) error {
		if i <= replicas {
			return awaitAnswer(ctx, g.nodes[i], "PING", "PONG", i > 0)
		}
		return awaitAnswer(ctx, g.nodes[i], "INFO sentinel", fmt.Sprintf("status=ok,address=127.0.0.1:%d,slaves=%d",
			ports[0], replicas), false)
	})
}

// begin starts the servers at once, each until ready returns.
func (g *RedisGroup) begin(ctx context.Context, ready func(ctx context.Context, i int) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for i, n := range g.nodes {
		all.Go(func() error {
			if err := n.begin(ctx); err != nil {
				return err
			}
			return ready(ctx, i)
		})
	}
	return all.Wait()
}

// retryPorts calls start, which may find that another process has taken one of its ports. It stops what start leaves.
func retryPorts(
	ctx context.Context, start func(context.Context) (*RedisGroup, error),
) (g *RedisGroup, err error) {
	ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
	defer cancel()
	for range portAttempts {
		if g, err = start(ctx); err == nil {
			return g, nil
		}
		if g != nil {
			err = errors.Join(err, g.Stop(context.WithoutCancel(ctx)))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// freePorts returns TCP ports of loopback that are free now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()                    // after all are chosen, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // of a TCP listener
	}
	return ports, nil
}
