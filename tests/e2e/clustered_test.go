package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/pkg/devstack"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/outbox"
	"souk/pkg/secrets"
	"souk/pkg/telemetry/receiver"
	"souk/pkg/waittest"
)

// clusteredVariable is set by make clustered: the suite runs on several servers of each kind, too.
const clusteredVariable = "SOUK_TEST_CLUSTERED"

func onClustered() bool { return os.Getenv(clusteredVariable) != "" }

// deployClustered starts a deployment of two processes on clustered servers.
func deployClustered(t testing.TB) *deployment {
	t.Helper()
	return deployOn(t, &servers{clustered: &clustered{}}, twoProcesses()...)
}

// startClustered starts the same with what the suite expects of the demo shops.
func startClustered(t testing.TB) *souk {
	t.Helper()
	s := deployClustered(t).souk
	kitchen, music := handle("kitchen"), handle("music")
	s.seller(kitchen).sell(kitchen, "Clay Teapot", "159.00", 35)
	s.seller(music).sell(music, "Bossa Nova Vinyl Collection", "259.00", 30)
	return s
}

// clustered are the servers of a deployment that survives the loss of one of them.
type clustered struct {
	nodes   []*natsNode
	replica *devstack.Postgres
	tools   *httptest.Server // what souk dev shows under /dev
}

// natsNode is a NATS server in a process of its own, so that it can be killed.
type natsNode struct {
	name string
	o    natsserver.Options
	cmd  *exec.Cmd
}

// nodeVariable holds the natsserver.Options of a test binary that is to be a NATS server.
const nodeVariable = "SOUK_TEST_NATS_NODE"

// runNATSNode runs a NATS server until the process gets a signal.
func runNATSNode(options string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o natsserver.Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	s, err := natsserver.Start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.Stop(ctx)
}

// start starts a node, also one that was killed, and waits until it accepts connections.
func (n *natsNode) start(t testing.TB) {
	t.Helper()
	options, err := json.Marshal(n.o)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	n.cmd = exec.Command(self)
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+string(options))
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, n.cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "node %s ended instead of starting", n.name)
	require.Equal(t, "ready\n", line)
}

func (n *natsNode) url() string { return "nats://127.0.0.1:" + strconv.Itoa(n.o.Port) }

// end sends the node a signal and waits for its end.
func (n *natsNode) end(s syscall.Signal) error {
	if n.cmd == nil || n.cmd.ProcessState != nil {
		return nil
	}
	if err := n.cmd.Process.Signal(s); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = n.cmd.Wait() // a killed process has no exit status
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("NATS node %s does not end", n.name)
	}
}

// startNATSNodes starts three nodes with the options of one server.
func (c *clustered) startNATSNodes(t testing.TB, o natsserver.Options) {
	t.Helper()
	ports := []int{steadyPort(t), steadyPort(t), steadyPort(t)}
	for i, port := range ports {
		n := &natsNode{name: fmt.Sprintf("n%d", i), o: o}
		n.o.StoreDir, n.o.Port = filepath.Join(o.StoreDir, n.name), steadyPort(t)
		n.o.Cluster = &natsserver.Cluster{Node: n.name, Port: port, Ports: ports}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.start(t)
	}
}

// natsURL returns the addresses of all nodes.
func (c *clustered) natsURL() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url())
	}
	return strings.Join(urls, ",")
}

// startTools serves the mails and the traces where souk dev has them.
func (c *clustered) startTools(mail *mailsink.Sink) {
	traces := receiver.NewRecorder(receiver.Options{})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/mail", mail)
	mux.Handle("/", traces)
	c.tools = httptest.NewServer(mux)
}

// configure changes the configuration of a deployment on single servers.
func (c *clustered) configure(settings map[string]any) {
	settings["natsauth"] = map[string]any{"streams": map[string]any{"replicas": 3, "max_bytes": 256 << 20}}
	settings["postgres"].(map[string]any)["replicas"] = map[string]string{"product": c.replica.URL("product")}
	settings["gateway"].(map[string]any)["dev_url"] = c.tools.URL
	settings["telemetry"] = map[string]any{"endpoint": c.tools.URL, "batch_delay": "100ms"}
	settings["notification"].(map[string]any)["hold"] = "1s"
	settings["webhook"] = map[string]any{"allow_local": true}
}

// streamLeader returns the node that leads the stream of events, once all its replicas are current.
func (d *deployment) streamLeader() *natsNode {
	d.t.Helper()
	a := d.souk.nats()
	opts, err := module.NATSConfig{}.Options(
		module.IdentityConfig{Seed: secrets.Plain(a.identity)},
		zap.NewNop(),
		natsauth.Operator,
	)
	require.NoError(d.t, err)
	nc, err := nats.Connect(a.url, opts...)
	require.NoError(d.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(d.t, err)
	var leader string
	waittest.Until(d.t, func() bool {
		s, err := js.Stream(d.t.Context(), outbox.StreamEvents)
		if err != nil {
			return false
		}
		cluster := s.CachedInfo().Cluster
		leader = cluster.Leader
		current := 0
		for _, r := range cluster.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		return leader != "" && current == 2
	}, "the stream has no three current replicas")
	for _, n := range d.servers.clustered.nodes {
		if n.name == leader {
			return n
		}
	}
	require.Fail(d.t, "no node is named "+leader)
	return nil
}

// longestPurchase bounds how long a customer may need for a purchase while a server is lost.
const longestPurchase = 5 * time.Second

// longestFailover is the same for Redis, whose nodes must agree that a master is gone before its replica takes over.
const longestFailover = 10 * time.Second

// TestClusterLosesNodesUnderLoad kills nodes of NATS while customers buy: the one that leads the stream of events, and
// each of the others, so that also the nodes to which the processes and natsauth are connected are among them. Then
// the replica stops, from which the catalogue is read.
func TestClusterLosesNodesUnderLoad(t *testing.T) {
	if !onClustered() {
		t.Skip(clusteredVariable + " is not set")
	}
	t.Parallel()
	d := deployClustered(t)
	_, l := d.market()
	leader := d.streamLeader()
	victims := []*natsNode{leader}
	for _, n := range d.servers.clustered.nodes {
		if n != leader {
			victims = append(victims, n)
		}
	}
	for _, n := range victims {
		d.streamLeader() // waits for all replicas
		before := l.orders.Load()
		require.NoError(t, n.end(syscall.SIGKILL))
		waittest.Until(t, func() bool { return l.orders.Load() > before+60 }, "no orders are taken without %s", n.name)
		n.start(t)
		t.Logf("%s killed: the longest purchase so far took %s", n.name, l.longest())
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	require.NoError(t, d.servers.clustered.replica.Stop(ctx))
	before := l.orders.Load()
	for range 20 {
		d.anonymous().get("/v1/products?query=Restarts").want(http.StatusOK)
	}
	waittest.Until(t, func() bool { return l.orders.Load() > before+20 }, "no orders are taken without the replica")
	require.Less(t, l.longest(), longestPurchase, "the longest purchase")
	d.requireNothingLost(l)
}

// TestClusterLosesARedisMasterUnderLoad kills a master while customers buy. Its replica takes over. Redis replicates
// asynchronously, so that the last carts may be gone.
func TestClusterLosesARedisMasterUnderLoad(t *testing.T) {
	if !onClustered() || os.Getenv("SOUK_TEST_REDIS") != "cluster" {
		t.Skip(clusteredVariable + " is not set, or SOUK_TEST_REDIS is not cluster")
	}
	t.Parallel()
	d := deployClustered(t)
	_, l := d.marketLosing(true)
	before := l.orders.Load()
	require.NoError(t, syscall.Kill(d.servers.redis.nodes[0].PID(), syscall.SIGKILL))
	waittest.Until(t, func() bool { return l.orders.Load() > before+60 }, "no orders are taken without a master")
	t.Logf("a master was killed: the longest purchase took %s", l.longest())
	require.Less(t, l.longest(), longestFailover, "the longest purchase")
	d.requireNothingLost(l)
}

func (c *clustered) stop(t testing.TB) {
	for _, n := range c.nodes {
		if err := n.end(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	if c.replica != nil {
		stopped(t, "the replica", c.replica.Stop)
	}
	if c.tools != nil {
		c.tools.Close()
	}
}
