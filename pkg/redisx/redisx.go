// Package redisx opens souk's connection to Redis: a rueidis client that pipelines automatically, has a client-side
// cache, gives up on a stopped Redis within a second, and reconnects automatically.
package redisx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
)

// retryAfter is the RetryAfter of errors while Redis is down.
const retryAfter = time.Second

const (
	// topologyRefresh is how often the sentinels are asked for the primary, or a cluster for its masters, in case a
	// failover was missed.
	topologyRefresh = 5 * time.Second
	// maxRedirects is how often a command follows a slot of a cluster to another node.
	maxRedirects = 8
)

// Config configures the connection to Redis.
type Config struct {
	// Addr is host:port, or the path of a unix socket (anything with a slash).
	Addr string `yaml:"addr"`
	// Sentinels are the addresses of Redis Sentinel, host:port each, instead of Addr. Empty: no Sentinel.
	Sentinels []string `yaml:"sentinels"`
	// Cluster are the addresses of nodes of a Redis Cluster, host:port each, instead of Addr. One that answers is
	// enough: it names the others. Empty: no cluster.
	Cluster []string `yaml:"cluster"`
	// Master is the name by which the sentinels know the primary. Set if and only if Sentinels is.
	Master string `yaml:"master"`
	// SentinelPassword is the password of the sentinels. Empty means that they require none.
	SentinelPassword secrets.Value `yaml:"sentinel_password"`
	// Username and Password are the credentials. Empty means that Redis requires none.
	Username secrets.Value `yaml:"username"`
	Password secrets.Value `yaml:"password"`
	// DB is the number of the logical database. A cluster has only 0. Default: 0.
	DB int `yaml:"db"`
	// TLS encrypts TCP connections. Default: false.
	TLS bool `yaml:"tls"`
	// Config names the files of TLS connections. They are read again when they change.
	tlsconf.Config `yaml:",inline"`
	// DialTimeout bounds a connection attempt. Default: 500 ms.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// Timeout bounds the wait for an answer. Default: 600 ms.
	Timeout time.Duration `yaml:"timeout"`
	// CacheBytes is the maximum size of the client-side cache, of each node of a cluster. Default: 32 MiB.
	CacheBytes int `yaml:"cache_bytes"`
	// Logger logs when the files of TLS connections were read again. It may be nil.
	Logger *zap.Logger `yaml:"-"`
}

// Default returns the default settings, without an address.
func Default() Config {
	return Config{DialTimeout: 500 * time.Millisecond, Timeout: 600 * time.Millisecond, CacheBytes: 32 << 20}
}

// IsSet reports whether the configuration names a server.
func (c *Config) IsSet() bool { return c.Addr != "" || len(c.Sentinels)+len(c.Cluster) > 0 }

// Validate checks the configuration.
//
// Errors: invalid_argument.
func (c *Config) Validate() error {
	switch {
	case (len(c.Sentinels) > 0) != (c.Master != ""):
		return errs.InvalidField("master", "sentinels and master belong together")
	case len(c.Sentinels) > 0 && len(c.Cluster) > 0:
		return errs.InvalidField("cluster", "must be empty with sentinels: a cluster has none")
	case c.Addr != "" && len(c.Sentinels)+len(c.Cluster) > 0:
		return errs.InvalidField("addr", "must be empty with sentinels or cluster, which name the servers")
	case c.Addr == "" && len(c.Sentinels)+len(c.Cluster) == 0:
		return errs.InvalidField("addr", "must be host:port or the path of a unix socket")
	case c.DialTimeout < 0 || c.Timeout < 0:
		return errs.InvalidField("timeout", "must not be negative")
	case c.DB < 0:
		return errs.InvalidField("db", "must not be negative")
	case c.DB > 0 && len(c.Cluster) > 0:
		return errs.InvalidField("db", "must be 0 with a cluster")
	case c.CacheBytes < 0:
		return errs.InvalidField("cache_bytes", "must not be negative")
	case c.Config != (tlsconf.Config{}) && !c.TLS:
		return errs.InvalidField("tls", "must be true with ca_file, cert_file, key_file or revoked_file")
	}
	if err := c.Config.Validate(); err != nil {
		return errs.Wrap(err, errs.Invalid, "%v", err)
	}
	return nil
}

// Open connects to Redis. Zero timeouts and sizes mean the defaults. The caller closes the client.
//
// Errors: invalid_argument (cfg, or a cluster where cfg says that it is none, or the reverse), unavailable (Redis does
// not answer).
func Open(ctx context.Context, cfg Config) (rueidis.Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	opt, err := options(cfg)
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(opt)
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "redis at %s does not answer", cfg.Where()).
			WithRetryAfter(retryAfter)
	}
	err = Ping(ctx, client)
	if err == nil {
		err = checkMode(ctx, client, cfg)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// checkMode returns an error if the server is a node of a cluster and cfg does not say so, or the reverse.
func checkMode(ctx context.Context, client rueidis.Client, cfg Config) error {
	if len(cfg.Cluster) > 0 {
		if client.Mode() != rueidis.ClientModeCluster {
			return errs.InvalidField("cluster", "%s is not a node of a Redis Cluster: set addr", cfg.Cluster[0])
		}
		return nil
	}
	hello, err := client.Do(ctx, client.B().Hello().Build()).AsMap()
	if err != nil {
		return Err(err)
	}
	mode := hello["mode"]
	if text, err := mode.ToString(); err == nil && text == "cluster" {
		return errs.InvalidField("addr", "%s is a node of a Redis Cluster: set cluster instead", cfg.Where())
	}
	return nil
}

// Where names the servers for messages: the address, the nodes of a cluster, or the primary's name and the sentinels.
func (c *Config) Where() string {
	switch {
	case len(c.Sentinels) > 0:
		return c.Master + " of the sentinels " + strings.Join(c.Sentinels, ", ")
	case len(c.Cluster) > 0:
		return "the cluster " + strings.Join(c.Cluster, ", ")
	}
	return c.Addr
}

// Ping checks that Redis answers; of a cluster, that a node does.
//
// Errors: those of Err.
func Ping(ctx context.Context, client rueidis.Client) error {
	var err error
	for _, node := range client.Nodes() {
		if err = Err(node.Do(ctx, node.B().Ping().Build()).Error()); err == nil {
			return nil
		}
	}
	return err
}

func options(cfg Config) (rueidis.ClientOption, error) {
	d := Default()
	field, addrs := "addr", []string{cfg.Addr}
	switch {
	case len(cfg.Sentinels) > 0:
		field, addrs = "sentinels", slices.Clone(cfg.Sentinels)
	case len(cfg.Cluster) > 0:
		field, addrs = "cluster", slices.Clone(cfg.Cluster)
	}
	opt := rueidis.ClientOption{
		InitAddress:       addrs,
		SelectDB:          cfg.DB,
		ClientName:        "souk",
		ForceSingleClient: len(cfg.Cluster) == 0,
		CacheSizeEachConn: or(cfg.CacheBytes, d.CacheBytes),
		ClusterOption: rueidis.ClusterOption{
			ShardsRefreshInterval: topologyRefresh, MaxMovedRedirections: maxRedirects,
		},
		// One pipelined connection to a server. More are not faster, because Redis runs one command at a time, and
		// only a single connection keeps the order of answers and invalidations of the client-side cache. Package
		// cache relies on that order, for the commands on one key.
		PipelineMultiplex:   -1,
		ReadBufferEachConn:  128 << 10,
		WriteBufferEachConn: 128 << 10,
		Dialer:              net.Dialer{Timeout: or(cfg.DialTimeout, d.DialTimeout), KeepAlive: 500 * time.Millisecond},
		ConnWriteTimeout:    or(cfg.Timeout, d.Timeout),
		// One quick retry bridges a connection that Redis has closed. More would only delay the error.
		RetryDelay: func(attempts int, _ rueidis.Completed, err error) time.Duration {
			if attempts > 1 || timedOut(err) {
				return -1
			}
			return 5 * time.Millisecond
		},
	}
	if cfg.Username.IsSet() || cfg.Password.IsSet() {
		opt.AuthCredentialsFn = func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			now := secrets.Read(cfg.Username, cfg.Password) // at each connection
			return rueidis.AuthCredentials{Username: now[0], Password: now[1]}, nil
		}
	}
	if strings.Contains(cfg.Addr, "/") {
		opt.DialCtxFn = func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}
		return opt, nil
	}
	for _, addr := range opt.InitAddress {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return opt, errs.InvalidField(field, "must be host:port, not %q", addr)
		}
	}
	if cfg.TLS {
		source, err := tlsconf.Open(cfg.Config, cmp.Or(cfg.Logger, zap.NewNop()))
		if err != nil {
			return opt, errs.Wrap(err, errs.Invalid, "%v", err)
		}
		opt.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{NetDialer: d, Config: source.Client(host)}).DialContext(ctx, "tcp", addr)
		}
	}
	if len(cfg.Sentinels) > 0 {
		opt.Sentinel = rueidis.SentinelOption{
			MasterSet: cfg.Master, Password: cfg.SentinelPassword.Get(), ClientName: opt.ClientName,
			Dialer:                  opt.Dialer,
			TopologyRefreshInterval: topologyRefresh,
		}
	}
	return opt, nil
}

// Err converts the error of a Redis command to a coded error, and nil to nil. Any other error that Redis returns is a
// bug in souk and gets no code.
//
// Errors: not_found (rueidis.Nil), timeout (the context was cancelled), unavailable (Redis is down, starting,
// read-only or full, or did not answer in time).
func Err(err error) error {
	if err == nil {
		return nil
	}
	if rueidis.IsRedisNil(err) {
		return errs.Wrap(err, errs.NotFound, "there is no such thing")
	}
	if redisErr, ok := rueidis.IsRedisErr(err); ok {
		msg := redisErr.Error()
		for _, p := range []string{
			"LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MOVED", "ASK",
			"ERR max number of clients",
		} {
			if strings.HasPrefix(msg, p) {
				return unavailable(err)
			}
		}
		return err
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return errs.Wrap(err, errs.Timeout, "the request took too long or was given up")
	}
	return unavailable(err)
}

func unavailable(err error) error {
	return errs.Wrap(err, errs.Unavailable, "temporarily unavailable, please try again").WithRetryAfter(retryAfter)
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
