// Package redisx opens souk's connection to Redis: a rueidis client that pipelines automatically, has a client-side
// cache, gives up on a stopped Redis within a second, and reconnects automatically.
package redisx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/errs"
)

// retryAfter is the RetryAfter of errors while Redis is down.
const retryAfter = time.Second

// topologyRefresh is how often the sentinels are asked for the primary, in case their message of a failover was missed.
const topologyRefresh = 5 * time.Second

// Config configures the connection to Redis.
type Config struct {
	// Addr is host:port, or the path of a unix socket (anything with a slash).
	Addr string `yaml:"addr"`
	// Sentinels are the addresses of Redis Sentinel, host:port each, instead of Addr. Empty: no Sentinel.
	Sentinels []string `yaml:"sentinels"`
	// Master is the name by which the sentinels know the primary. Set if and only if Sentinels is.
	Master string `yaml:"master"`
	// SentinelPassword is the password of the sentinels. Empty means that they require none.
	SentinelPassword string `yaml:"sentinel_password"`
	// Username and Password are the credentials. Empty means that Redis requires none.
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// DB is the number of the logical database. Default: 0.
	DB int `yaml:"db"`
	// TLS encrypts TCP connections. Default: false.
	TLS bool `yaml:"tls"`
	// CAFile is the path of the CA certificates (PEM) that verify the server. Empty means the system's.
	CAFile string `yaml:"ca_file"`
	// DialTimeout bounds a connection attempt. Default: 500 ms.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// Timeout bounds the wait for an answer. Default: 600 ms.
	Timeout time.Duration `yaml:"timeout"`
	// CacheBytes is the maximum size of the client-side cache. Default: 32 MiB.
	CacheBytes int `yaml:"cache_bytes"`
}

// Default returns the default settings, without an address.
func Default() Config {
	return Config{DialTimeout: 500 * time.Millisecond, Timeout: 600 * time.Millisecond, CacheBytes: 32 << 20}
}

// Validate checks the configuration.
//
// Errors: invalid_argument.
func (c *Config) Validate() error {
	switch {
	case (len(c.Sentinels) > 0) != (c.Master != ""):
		return errs.InvalidField("master", "sentinels and master belong together")
	case len(c.Sentinels) > 0 && c.Addr != "":
		return errs.InvalidField("addr", "must be empty with sentinels, which name the primary's address")
	case c.Addr == "" && len(c.Sentinels) == 0:
		return errs.InvalidField("addr", "must be host:port or the path of a unix socket")
	case c.DialTimeout < 0 || c.Timeout < 0:
		return errs.InvalidField("timeout", "must not be negative")
	case c.DB < 0:
		return errs.InvalidField("db", "must not be negative")
	case c.CacheBytes < 0:
		return errs.InvalidField("cache_bytes", "must not be negative")
	case c.CAFile != "" && !c.TLS:
		return errs.InvalidField("ca_file", "makes sense with tls: true only")
	}
	return nil
}

// Open connects to Redis. Zero timeouts and sizes mean the defaults. The caller closes the client.
//
// Errors: invalid_argument (cfg), unavailable (Redis does not answer).
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
	if err := Ping(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Where names the servers for messages: the address, or the primary's name and the sentinels.
func (c *Config) Where() string {
	if len(c.Sentinels) > 0 {
		return c.Master + " of the sentinels " + strings.Join(c.Sentinels, ", ")
	}
	return c.Addr
}

// Ping checks that Redis answers.
//
// Errors: those of Err.
func Ping(ctx context.Context, client rueidis.Client) error {
	return Err(client.Do(ctx, client.B().Ping().Build()).Error())
}

func options(cfg Config) (rueidis.ClientOption, error) {
	d := Default()
	opt := rueidis.ClientOption{
		InitAddress:       []string{cfg.Addr},
		Username:          cfg.Username,
		Password:          cfg.Password,
		SelectDB:          cfg.DB,
		ClientName:        "souk",
		ForceSingleClient: true,
		CacheSizeEachConn: or(cfg.CacheBytes, d.CacheBytes),
		// One pipelined connection. More are not faster, because Redis runs one command at a time, and only a
		// single connection keeps the order of answers and invalidations of the client-side cache. Package cache
		// relies on that order.
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
	if strings.Contains(cfg.Addr, "/") {
		opt.DialCtxFn = func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}
		return opt, nil
	}
	if len(cfg.Sentinels) == 0 {
		if _, _, err := net.SplitHostPort(cfg.Addr); err != nil {
			return opt, errs.InvalidField("addr", "must be host:port or the path of a unix socket, not %q", cfg.Addr)
		}
	}
	for _, addr := range cfg.Sentinels {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return opt, errs.InvalidField("sentinels", "must be host:port each, not %q", addr)
		}
	}
	if cfg.TLS {
		// A connection expects the name of the host that it dials.
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.CAFile != "" {
			pem, err := os.ReadFile(cfg.CAFile)
			if err != nil {
				return opt, errs.Wrap(err, errs.Invalid, "ca_file: %v", err)
			}
			opt.TLSConfig.RootCAs = x509.NewCertPool()
			if !opt.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
				return opt, errs.InvalidField("ca_file", "%s holds no certificate", cfg.CAFile)
			}
		}
	}
	if len(cfg.Sentinels) > 0 {
		opt.InitAddress = slices.Clone(cfg.Sentinels)
		opt.Sentinel = rueidis.SentinelOption{
			MasterSet: cfg.Master, Password: cfg.SentinelPassword, ClientName: opt.ClientName,
			Dialer: opt.Dialer, TLSConfig: opt.TLSConfig,
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
			"LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS",
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
