package module

import (
	"cmp"
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
	"souk/pkg/secrets"
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
	sectionVault     = "vault"
)

// PostgresConfig configures the services' databases.
type PostgresConfig struct {
	// URL is the pattern of a database URL. "{service}" stands for the service's name, "{user}" and "{password}" for
	// its user and password.
	URL secrets.Value `yaml:"url"`
	// URLs are patterns by service name, for services that URL does not fit.
	URLs map[string]secrets.Value `yaml:"urls"`
	// Users are the names of the services' roles, by service name. Default: the service's name.
	Users map[string]secrets.Value `yaml:"users"`
	// Passwords are the passwords of the services' roles, by service name.
	Passwords map[string]secrets.Value `yaml:"passwords"`
	// MaxConns is the maximum number of connections per service. Default: 10.
	MaxConns int32 `yaml:"max_conns"`
	// Pooled: the URLs are those of a pooler in transaction mode; see [postgres.Config]. Default: false.
	Pooled bool `yaml:"pooled"`
	// Replicas are patterns of the URLs of streaming replicas, by service name; see [postgres.ReplicaConfig]. Only the
	// product service reads from one.
	Replicas map[string]secrets.Value `yaml:"replicas"`
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
	for service := range c.Users {
		if url := c.pattern(service).Get(); url != "" && !strings.Contains(url, userMark) {
			return fmt.Errorf("users: the URL of %s has no %s, where its user would be", service, userMark)
		}
		if c.Pooled { // the settings of a session are those of the role that signs in
			return errors.New("users: makes sense without pooled only")
		}
	}
	return nil
}

func (c PostgresConfig) pattern(service string) secrets.Value {
	if u, ok := c.URLs[service]; ok {
		return u
	}
	return c.URL
}

// Changes reports whether the URL of a service's database, or of its replica, may change while the process runs.
func (c PostgresConfig) Changes(service string) bool {
	for _, v := range []secrets.Value{c.pattern(service), c.Replicas[service], c.Users[service], c.Passwords[service]} {
		if v.Reference() != "" {
			return true
		}
	}
	return false
}

// ServiceURL returns the URL of a service's database, with the user and the password of now.
func (c PostgresConfig) ServiceURL(service string) (string, error) {
	url := c.fill(c.pattern(service), service)
	if url == "" {
		return "", errors.New(
			"postgres.url is not set: give the URL of the service's database, " +
				"e.g. postgres://{service}:{password}@db:5432/{service}",
		)
	}
	return url, nil
}

// ReplicaURL returns the URL of the replica of a service's database, as [PostgresConfig.ServiceURL] does; "": it has
// none.
func (c PostgresConfig) ReplicaURL(service string) string {
	return c.fill(c.Replicas[service], service)
}

func (c PostgresConfig) fill(pattern secrets.Value, service string) string {
	now := secrets.Read(pattern, c.Users[service], c.Passwords[service])
	return fill(now[0], service, cmp.Or(now[1], service), now[2])
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
	URL secrets.Value `yaml:"url"`
	// Passwords are the passwords of the services' users in MongoDB, by service name.
	Passwords map[string]secrets.Value `yaml:"passwords"`
}

// Validate checks the configuration.
func (c DocumentsConfig) Validate() error {
	url := c.URL.Get()
	if url != "" && !strings.HasPrefix(url, "mongodb://") && !strings.HasPrefix(url, "mongodb+srv://") {
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
	if !c.URL.IsSet() {
		return nil, nil //nolint:nilnil // documented
	}
	return document.OpenMongo(document.MongoOptions{
		URL:      fill(c.URL.Get(), service, service, c.Passwords[service].Get()),
		Database: service, Outbox: outbox, Wake: wake, Logger: log,
	})
}

// userMark is where the user stands in a pattern of a URL.
const userMark = "{user}"

// fill fills a service's name, user and password into a pattern of a URL.
func fill(pattern, service, user, password string) string {
	return strings.NewReplacer("{service}", service, userMark, escape(user), "{password}", escape(password)).
		Replace(pattern)
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// IdentityConfig holds the keys with which services know each other.
type IdentityConfig struct {
	// Seed (base64, at least 32 bytes) from which every service's key is derived: for processes that run all of souk.
	Seed secrets.Value `yaml:"seed"`
	// Keys (base64 Ed25519 seeds) by service name, of the services that this process runs, where there is no common
	// seed.
	Keys map[string]secrets.Value `yaml:"keys"`
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
	case c.Seed.IsSet():
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
	if c.Seed.IsSet() {
		seed, err := c.seed()
		if err != nil {
			return nil, err
		}
		return identity.DeriveKey(seed, service), nil
	}
	raw, err := base64.StdEncoding.DecodeString(c.Keys[service].Get())
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
	if c.Seed.IsSet() {
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
	seed, err := base64.StdEncoding.DecodeString(c.Seed.Get())
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

// DefaultAdmin returns the default configuration.
func DefaultAdmin() AdminConfig { return AdminConfig{Addr: "127.0.0.1:0"} }

// DefaultRPC returns the default configuration.
func DefaultRPC() RPCConfig { return RPCConfig{Transport: transportInProcess, Limit: rpc.DefaultLimit} }

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
