// Package redisx opens souk's connection to Redis: a rueidis client that pipelines by itself, caches
// on the client's side, gives up on a stopped Redis within a second, and finds it again by itself.
package redisx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/errs"
)

// retryAfter is what a caller is told while Redis is away.
const retryAfter = time.Second

// Config says where Redis is.
type Config struct {
	// Addr is host:port, or the path of a unix socket (anything with a slash).
	Addr string `yaml:"addr"`
	// Username and Password sign in; empty: Redis asks for none.
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// DB is the number of the logical database. Default: 0.
	DB int `yaml:"db"`
	// TLS encrypts a connection by TCP. Default: false.
	TLS bool `yaml:"tls"`
	// CAFile holds the certificates (PEM) that a server's certificate is checked against; empty: the system's.
	CAFile string `yaml:"ca_file"`
	// DialTimeout bounds how long a connection may take to come up. Default: 500 ms.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// Timeout bounds how long an answer may take. Default: 600 ms.
	Timeout time.Duration `yaml:"timeout"`
	// CacheBytes bounds the client-side cache. Default: 32 MiB.
	CacheBytes int `yaml:"cache_bytes"`
}

// Default returns the settings that count when nothing is said. They name no address.
func Default() Config {
	return Config{DialTimeout: 500 * time.Millisecond, Timeout: 600 * time.Millisecond, CacheBytes: 32 << 20}
}

// Validate fails with errs.Invalid when a value makes no sense.
func (c *Config) Validate() error {
	switch {
	case c.Addr == "":
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

// Open connects to Redis; zero timeouts and sizes mean the defaults. The caller closes the client.
// It fails with errs.Invalid for a wrong cfg, and with errs.Unavailable when Redis does not answer.
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
		return nil, errs.Wrap(err, errs.Unavailable, "redis at %s does not answer", cfg.Addr).WithRetryAfter(retryAfter)
	}
	if err := Ping(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Ping reports whether Redis answers. It fails with errs.Unavailable when not.
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
		// One pipelined connection: several are no faster, since Redis runs one command at a time, and
		// only on one do a command's answer and the notices for the client-side cache keep their order.
		// Package cache relies on that.
		PipelineMultiplex:   -1,
		ReadBufferEachConn:  128 << 10,
		WriteBufferEachConn: 128 << 10,
		Dialer:              net.Dialer{Timeout: or(cfg.DialTimeout, d.DialTimeout), KeepAlive: 500 * time.Millisecond},
		ConnWriteTimeout:    or(cfg.Timeout, d.Timeout),
		// One quick second try bridges a connection that Redis had closed; more would only keep a
		// caller waiting for what is down.
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
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return opt, errs.InvalidField("addr", "must be host:port or the path of a unix socket, not %q", cfg.Addr)
	}
	if cfg.TLS {
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
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
	return opt, nil
}

// Err gives an error of a Redis command its code. Nil stays nil; "no such key" (rueidis.Nil) becomes
// errs.NotFound; a caller that gave up gets errs.Timeout; a Redis that is away, starting, read-only or
// full, or did not answer in time, becomes errs.Unavailable with a time to try again; any other answer of Redis is a
// bug of ours and stays without a code.
func Err(err error) error {
	if err == nil {
		return nil
	}
	if rueidis.IsRedisNil(err) {
		return errs.Wrap(err, errs.NotFound, "there is no such thing")
	}
	if redisErr, ok := rueidis.IsRedisErr(err); ok {
		msg := redisErr.Error()
		for _, p := range []string{"LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "ERR max number of clients"} {
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
