package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"souk/gen/go/souk/services"
	"souk/pkg/devstack"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/devstack/oidcserver"
	"souk/pkg/natsauth"
)

// deployment is a souk that runs as in production: `souk run` with a configuration file. The test owns its servers and
// may stop and start them.
type deployment struct {
	*souk
	servers *servers
	parts   []part
}

// servers are the infrastructure of a deployment. A restarted server has the same address and data.
type servers struct {
	dir             string
	postgresOptions devstack.PostgresOptions
	postgres        *devstack.Postgres
	identity        string // the seed of all keys
	keyring         string // the key that wraps those of personal data
	natsOptions     natsserver.Options
	nats            *natsserver.Server
	redis           redisServers
	clustered       *clustered // nil: one server of each kind
	oidc            *oidcserver.Provider
	mail            *mailsink.Sink
}

// part is a process of a deployment.
type part struct {
	*process
	target string
	admin  string
}

// deploy starts servers and a process for each target. The target with the gateway is the last. Several processes call
// each other over NATS.
func deploy(t testing.TB, targets ...string) *deployment {
	t.Helper()
	return deployOn(t, &servers{}, targets...)
}

func deployOn(t testing.TB, s *servers, targets ...string) *deployment {
	t.Helper()
	dir, err := devstack.MemoryTempDir()
	require.NoError(t, err)
	addr := freeAddr(t)
	d := &deployment{
		souk:    &souk{t: t, dir: dir, addr: addr, url: "http://" + addr, config: filepath.Join(dir, "souk.yaml")},
		servers: s,
	}
	s.dir, d.souk.deployment = dir, d
	t.Cleanup(func() {
		for _, p := range slices.Backward(d.parts) {
			if !p.stop() {
				t.Errorf("%s did not stop within %s of SIGINT", p.target, stopTimeout)
			}
			if t.Failed() {
				t.Logf("last log lines of %s:\n%s", p.target, lastWarnings(p.output.String(), 40))
			}
		}
		d.servers.stop(t)
		_ = os.RemoveAll(dir) // only a temporary directory would remain
	})
	d.servers.start(t)
	d.configure(len(targets) > 1)
	for _, target := range targets {
		admin := freeAddr(t)
		d.parts = append(d.parts, part{target: target, admin: admin, process: startProcess(t,
			[]string{"SOUK_ADMIN_ADDR=" + admin}, "run", "--target="+target, "--config="+d.config, "--migrate")})
	}
	for _, p := range d.parts {
		require.Eventually(t, func() bool { return p.ended() || p.isReady() },
			startTimeout, 20*time.Millisecond, "%s is ready", p.target)
		require.False(t, p.ended(), "%s ended instead of starting: %s", p.target, p.output)
	}
	return d
}

func (p part) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p part) isReady() bool {
	res, err := http.Get("http://" + p.admin + "/health/ready")
	return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// configure writes the configuration file of all processes.
func (d *deployment) configure(split bool) {
	d.t.Helper()
	databases := map[string]string{}
	for _, service := range services.Databases() {
		databases[service] = d.servers.databaseURL(service)
	}
	transport := "inprocess"
	if split {
		transport = "nats"
	}
	rate := map[string]any{"per_second": 20000, "burst": 40000} // all clients of a test share one address
	settings := map[string]any{
		"postgres": map[string]any{"urls": databases},
		"redis":    d.servers.redis.section,
		"nats":     map[string]any{"url": d.servers.natsURL()},
		"identity": map[string]any{"seed": d.servers.identity},
		"keyring":  map[string]any{"key": d.servers.keyring},
		"rpc":      map[string]any{"transport": transport},
		"gateway": map[string]any{
			"addr": d.addr, "public_url": d.url, "address_rate": rate, "caller_rate": rate, "lame_duck": "0s",
		},
		"auth": map[string]any{
			"issuer":    d.servers.oidc.Issuer(),
			"client_id": oidcserver.ClientID,
			"audience":  oidcserver.Audience,
			"key":       secret(),
		},
		"notification": map[string]any{"smtp_addr": d.servers.mail.Addr()},
		"payment": map[string]any{
			"provider": "sandbox",
			"sandbox": map[string]any{
				"webhook_secret": secret(),
				"webhook_url":    d.url + "/v1/webhooks/payments/sandbox",
			},
		},
	}
	if c := d.servers.clustered; c != nil {
		c.configure(settings)
	}
	raw, err := yaml.Marshal(settings)
	require.NoError(d.t, err)
	require.NoError(d.t, os.WriteFile(d.config, raw, 0o600))
}

func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// user returns a client with a token of a user with roles.
func (d *deployment) user(email string, roles ...string) *client {
	d.t.Helper()
	token, err := d.servers.oidc.Token(d.t.Context(), email, roles, 0)
	require.NoError(d.t, err)
	return &client{s: d.souk, token: token}
}

// seller creates a shop and returns a client of its owner.
func (d *deployment) seller(handle string) *client {
	d.t.Helper()
	seller, operator := d.user(handle+"@sellers.test", "customer", "seller"), d.user("operator@souk.test", "operator")
	operator.post("/v1/shops", obj{"handle": handle, "name": handle}).want(http.StatusCreated)
	var invitation struct{ ID string }
	operator.post("/v1/shops/"+handle+"/invitations", obj{"email": handle + "@sellers.test", "role": "owner"}).
		want(http.StatusCreated).into(&invitation)
	seller.post("/v1/me/invitations/"+invitation.ID+":accept", obj{}).want(http.StatusOK)
	return seller
}

func (s *servers) start(t testing.TB) {
	t.Helper()
	s.postgresOptions = devstack.PostgresOptions{
		Dir: filepath.Join(s.dir, "postgres"), Port: steadyPort(t), Databases: services.Databases(),
	}
	if s.clustered != nil { // the replica reads the primary's password-less socket
		s.postgresOptions.Dir, s.postgresOptions.Port, s.postgresOptions.Temporary = "", 0, true
	}
	s.startPostgres(t)
	s.identity, s.keyring = secret(), secret()
	seed, err := base64.StdEncoding.DecodeString(s.identity)
	require.NoError(t, err)
	keys, err := natsauth.DeriveKeys(seed)
	require.NoError(t, err)
	issuer, box, err := keys.Public()
	require.NoError(t, err)
	s.natsOptions = natsserver.Options{
		StoreDir: filepath.Join(s.dir, "nats"), Port: steadyPort(t), User: natsauth.User, Password: keys.Password,
		Callout: &natsserver.Callout{Issuer: issuer, Box: box},
	}
	if s.clustered != nil {
		s.clustered.startNATSNodes(t, s.natsOptions)
		s.clustered.replica, err = devstack.StartPostgres(t.Context(),
			devstack.PostgresOptions{Temporary: true, StandbyOf: s.postgres})
		require.NoError(t, err)
	} else {
		s.startNATS(t)
	}
	s.redis = startRedis(t, filepath.Join(s.dir, "redis"))
	s.oidc, err = oidcserver.Start(t.Context(), oidcserver.Options{Dir: filepath.Join(s.dir, "oidc")})
	require.NoError(t, err)
	s.mail, err = mailsink.Start(t.Context(), mailsink.Options{Keep: 100_000})
	require.NoError(t, err)
	if s.clustered != nil {
		s.clustered.startTools(s.mail)
	}
}

// databaseURL returns the URL of a service's database.
func (s *servers) databaseURL(service string) string {
	if s.postgresOptions.Temporary {
		return s.postgres.URL(service) // it listens on its socket only
	}
	return s.postgres.TCPURL(service)
}

func (s *servers) natsURL() string {
	if s.clustered != nil {
		return s.clustered.natsURL()
	}
	return s.nats.Address()
}

// redisServers are the Redis of a deployment.
type redisServers struct {
	section map[string]any    // of the configuration
	nodes   []*devstack.Redis // of a cluster: the masters, then their replicas
	stop    func(context.Context) error
}

// startRedis starts the kind of Redis that SOUK_TEST_REDIS names (see package redistest); each master has a replica.
func startRedis(t testing.TB, dir string) redisServers {
	t.Helper()
	switch os.Getenv("SOUK_TEST_REDIS") {
	case "cluster":
		group, err := devstack.StartRedisCluster(t.Context(), devstack.RedisClusterOptions{Dir: dir, Replicas: 1})
		require.NoError(t, err)
		section := map[string]any{"cluster": group.Addrs()}
		return redisServers{section: section, nodes: group.Nodes(), stop: group.Stop}
	case "sentinel":
		group, err := devstack.StartRedisSentinel(t.Context(), 3, 1)
		require.NoError(t, err)
		section := map[string]any{"sentinels": group.Addrs(), "master": devstack.SentinelMaster}
		return redisServers{section: section, stop: group.Stop}
	}
	redis, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dir})
	require.NoError(t, err)
	return redisServers{section: map[string]any{"addr": redis.Addr()}, stop: redis.Stop}
}

func (s *servers) startPostgres(t testing.TB) {
	t.Helper()
	p, err := devstack.StartPostgres(t.Context(), s.postgresOptions)
	require.NoError(t, err)
	s.postgres = p
}

func (s *servers) startNATS(t testing.TB) {
	t.Helper()
	n, err := natsserver.Start(t.Context(), s.natsOptions)
	require.NoError(t, err)
	s.nats = n
}

// stopPostgres shuts PostgreSQL down as an operator does: it ends the sessions and writes all data to disk.
func (s *servers) stopPostgres(t testing.TB) { stopped(t, "PostgreSQL", s.postgres.Stop) }

func (s *servers) stopNATS(t testing.TB) { stopped(t, "NATS", s.nats.Stop) }

// stop stops the servers that have started.
func (s *servers) stop(t testing.TB) {
	if s.clustered != nil {
		s.clustered.stop(t)
	}
	if s.mail != nil {
		stopped(t, "the mail sink", s.mail.Stop)
	}
	if s.oidc != nil {
		stopped(t, "the OpenID provider", s.oidc.Stop)
	}
	if s.redis.stop != nil {
		stopped(t, "Redis", s.redis.stop)
	}
	if s.nats != nil {
		s.stopNATS(t)
	}
	if s.postgres != nil {
		s.stopPostgres(t)
	}
}

func stopped(t testing.TB, what string, stop func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := stop(ctx); err != nil {
		t.Errorf("stop %s: %v", what, err)
	}
}

// steadyPorts are the ports that steadyPort has tried. Tests run in parallel, and their servers may be down.
var steadyPorts sync.Map

// steadyPort returns a free port that stays free while its server is down. It is outside of the range that the system
// uses for outgoing connections.
func steadyPort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + mathrand.IntN(10_000)
		if _, taken := steadyPorts.LoadOrStore(port, true); taken {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			require.NoError(t, ln.Close())
			return port
		}
	}
	require.Fail(t, "no port is free")
	return 0
}
