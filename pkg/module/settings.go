package module

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"souk/gen/go/souk/services"
	"souk/pkg/config"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
	"souk/pkg/rpc"
)

// The configuration sections of every process. Each module has another one with its name.
const (
	sectionLog       = "log"
	sectionTelemetry = "telemetry"
	sectionPostgres  = "postgres"
	sectionDocuments = "documents"
	sectionRedis     = "redis"
	sectionCache     = "cache"
	sectionNATS      = "nats"
	sectionIdentity  = "identity"
	sectionAdmin     = "admin"
	sectionRPC       = "rpc"
)

// PostgresConfig configures the services' databases.
type PostgresConfig struct {
	// URL is the pattern of a database URL. "{service}" stands for the service's name, "{password}" for its password.
	URL string `yaml:"url"`
	// URLs are patterns by service name, for services that URL does not fit.
	URLs map[string]string `yaml:"urls"`
	// Passwords are the passwords of the services' roles, by service name.
	Passwords map[string]string `yaml:"passwords"`
	// MaxConns is the maximum number of connections per service. Default: 10.
	MaxConns int32 `yaml:"max_conns"`
	// Pooled: the URLs are those of a pooler in transaction mode; see [postgres.Config]. Default: false.
	Pooled bool `yaml:"pooled"`
	// Replicas are patterns of the URLs of streaming replicas, by service name; see [postgres.ReplicaConfig]. Only the
	// product service reads from one.
	Replicas map[string]string `yaml:"replicas"`
	// MaxStaleness is how old what is read from a replica may be. Default: 5 s; from 3 s to 1 min.
	MaxStaleness time.Duration `yaml:"max_staleness"`
}

// DefaultPostgres returns the default configuration.
func DefaultPostgres() PostgresConfig {
	return PostgresConfig{MaxConns: 10, MaxStaleness: 5 * time.Second}
}

// Validate checks the configuration.
func (c PostgresConfig) Validate() error {
	if c.MaxConns < 1 {
		return errors.New("max_conns: must be at least 1")
	}
	if c.MaxStaleness < postgres.MinStaleness || c.MaxStaleness > postgres.MaxStaleness {
		return errors.New("max_staleness: must be from 3s to 1m")
	}
	return nil
}

// ServiceURL returns the URL of a service's database.
func (c PostgresConfig) ServiceURL(service string) (string, error) {
	pattern := c.URL
	if u, ok := c.URLs[service]; ok {
		pattern = u
	}
	if pattern == "" {
		return "", errors.New(
			"postgres.url is not set: give the URL of the service's database, " +
				"e.g. postgres://{service}:{password}@db:5432/{service}",
		)
	}
	return fill(pattern, service, c.Passwords[service]), nil
}

// ReplicaURL returns the URL of the replica of a service's database; "": it has none.
func (c PostgresConfig) ReplicaURL(service string) string {
	return fill(c.Replicas[service], service, c.Passwords[service])
}

// CacheConfig names the Redis for what may be evicted. Without a server, it is the one of section redis.
type CacheConfig struct {
	redisx.Config `yaml:",inline"`
}

// DefaultCache returns the default configuration.
func DefaultCache() CacheConfig { return CacheConfig{redisx.Default()} }

// Validate checks the configuration.
//
// Errors: invalid_argument.
func (c *CacheConfig) Validate() error {
	if reflect.DeepEqual(*c, DefaultCache()) {
		return nil
	}
	return c.Config.Validate()
}

// DocumentsConfig says where the services keep documents.
type DocumentsConfig struct {
	// URL of MongoDB: mongodb://… or mongodb+srv://…. "{service}" stands for the service's name, which is also that of
	// its database, and "{password}" for its password. Default: empty, which means the service's PostgreSQL.
	URL string `yaml:"url"`
	// Passwords are the passwords of the services' users in MongoDB, by service name.
	Passwords map[string]string `yaml:"passwords"`
}

// Validate checks the configuration.
func (c DocumentsConfig) Validate() error {
	if c.URL != "" && !strings.HasPrefix(c.URL, "mongodb://") && !strings.HasPrefix(c.URL, "mongodb+srv://") {
		return errors.New("url: must begin with mongodb:// or mongodb+srv://, or be empty for PostgreSQL")
	}
	return nil
}

// Open opens a service's documents in MongoDB. Their events go to the outbox of a PostgreSQL database; wake is called
// when some got there. It returns nil if documents are kept in PostgreSQL. The caller closes it.
//
// Errors: invalid_argument (the URL).
func (c DocumentsConfig) Open(
	service string, outbox *pgxpool.Pool, wake func(), log *zap.Logger,
) (*document.Mongo, error) {
	if c.URL == "" {
		return nil, nil //nolint:nilnil // documented
	}
	return document.OpenMongo(document.MongoOptions{
		URL: fill(c.URL, service, c.Passwords[service]), Database: service, Outbox: outbox, Wake: wake, Logger: log,
	})
}

// fill fills a service's name and password into a pattern of a URL.
func fill(pattern, service, password string) string {
	return strings.NewReplacer("{service}", service, "{password}",
		strings.ReplaceAll(url.QueryEscape(password), "+", "%20")).Replace(pattern)
}

// IdentityConfig holds the keys with which services know each other.
type IdentityConfig struct {
	// Seed (base64, at least 32 bytes) from which every service's key is derived: for processes that run all of souk.
	Seed string `yaml:"seed"`
	// Keys (base64 Ed25519 seeds) by service name, of the services that this process runs, where there is no common
	// seed.
	Keys map[string]string `yaml:"keys"`
	// Trusted are all services' public keys (base64) by name, where there is no common seed.
	Trusted map[string]string `yaml:"trusted"`
	// TTL of a token. Default 30 s; from 10 s to 1 h.
	TTL time.Duration `yaml:"ttl"`
}

// The bounds of IdentityConfig.TTL. Clocks of a cluster differ by less than the smaller one.
const (
	minTokenTTL = 10 * time.Second
	maxTokenTTL = time.Hour
)

// DefaultIdentity returns the settings that hold until the configuration says otherwise. It has no keys.
func DefaultIdentity() IdentityConfig { return IdentityConfig{TTL: 30 * time.Second} }

// Validate checks the configuration.
func (c IdentityConfig) Validate() error {
	var err error
	switch {
	case c.Seed != "":
		_, err = c.seed()
	case len(c.Trusted) == 0:
		err = errors.New("identity: set seed (base64, 32 bytes), or keys and trusted")
	}
	if c.TTL < minTokenTTL || c.TTL > maxTokenTTL {
		err = errors.Join(err, errors.New("identity.ttl: must be from 10s to 1h"))
	}
	return err
}

// Key returns the private key of a service, or of natsauth.Operator.
func (c IdentityConfig) Key(service string) (ed25519.PrivateKey, error) {
	if c.Seed != "" {
		seed, err := c.seed()
		if err != nil {
			return nil, err
		}
		return identity.DeriveKey(seed, service), nil
	}
	raw, err := base64.StdEncoding.DecodeString(c.Keys[service])
	if err != nil || len(raw) != ed25519.SeedSize {
		return nil, fmt.Errorf("identity.keys.%s: want the base64 of a %d byte Ed25519 seed", service, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(raw), nil
}

// Secret returns the seed that all services share.
func (c IdentityConfig) Secret() ([]byte, error) { return c.seed() }

// trusted returns the public keys of services.
func (c IdentityConfig) trusted(names []string) (map[string]ed25519.PublicKey, error) {
	keys := map[string]ed25519.PublicKey{}
	if c.Seed != "" {
		seed, err := c.seed()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			keys[name] = identity.DeriveKey(seed, name).Public().(ed25519.PublicKey)
		}
		return keys, nil
	}
	for name, s := range c.Trusted {
		if !slices.Contains(names, name) {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("identity.trusted.%s: want the base64 of a %d byte Ed25519 public key", name,
				ed25519.PublicKeySize)
		}
		keys[name] = raw
	}
	return keys, nil
}

func (c IdentityConfig) seed() ([]byte, error) {
	seed, err := base64.StdEncoding.DecodeString(c.Seed)
	if err != nil || len(seed) < 32 {
		return nil, errors.New("identity.seed: want the base64 of at least 32 random bytes")
	}
	return seed, nil
}

// AdminConfig configures the listener for health, metrics and profiles.
type AdminConfig struct {
	// Addr is the listen address. Default: 127.0.0.1:0, a free port. "" disables the listener.
	Addr string `yaml:"addr"`
}

// Validate checks the configuration.
func (c AdminConfig) Validate() error {
	if c.Addr == "" {
		return nil
	}
	if err := config.CheckListenAddr(c.Addr); err != nil {
		return errs.InvalidField("addr", "%v", err)
	}
	return nil
}

func defaultRPC() RPCConfig { return RPCConfig{Transport: transportInProcess, Limit: rpc.DefaultLimit} }

const (
	transportInProcess = "inprocess"
	transportNATS      = "nats"
)

// RPCConfig configures calls between services.
type RPCConfig struct {
	// Transport is "inprocess" (all services run in this process) or "nats". Default: inprocess.
	Transport string `yaml:"transport"`
	// Limit is the maximum number of calls in flight per service; further ones are refused. Default: 256.
	Limit int `yaml:"limit"`
}

// Validate checks the configuration.
func (c RPCConfig) Validate() error {
	var err error
	if c.Transport != transportInProcess && c.Transport != transportNATS {
		err = fmt.Errorf("rpc.transport: %q is neither inprocess nor nats", c.Transport)
	}
	if c.Limit < 1 {
		err = errors.Join(err, errors.New("rpc.limit: must be at least 1"))
	}
	return err
}

// CheckSplit returns an error if calls stay in the process although services run elsewhere: modules are those of this
// process.
func (c RPCConfig) CheckSplit(modules []Module) error {
	if c.Transport != transportInProcess {
		return nil
	}
	elsewhere := slices.DeleteFunc(services.Names(), func(name string) bool {
		return slices.ContainsFunc(modules, func(m Module) bool { return m.Name == name })
	})
	if len(elsewhere) == 0 {
		return nil
	}
	return fmt.Errorf("transport: must be nats, because this process does not run %s: set rpc.transport, or "+
		"SOUK_RPC_TRANSPORT=nats", strings.Join(elsewhere, ", "))
}
