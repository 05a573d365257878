// Package operate is the operators' tools: they check a running souk, show what it does, and repair it. They read its
// databases, streams and metrics from outside of the services.
package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/config"
	"souk/pkg/document"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
	"souk/pkg/secrets"
)

const (
	connectTimeout = 5 * time.Second
	maxConns       = 4 // connections of a command to one database, at most
)

// Source says which souk to operate on: that of a configuration, or the souk dev that runs on a data directory.
type Source struct {
	// Config is the path of a configuration file. With "" and without SOUK_POSTGRES_URL it is the running souk dev.
	Config  string
	DataDir string
	// Modules are the services of souk.
	Modules []module.Module
}

// Souk is a souk to operate on.
type Souk struct {
	state    *dev.State // nil if the addresses are from a configuration
	modules  []module.Module
	tree     *config.Tree // nil for a souk dev
	postgres module.PostgresConfig
	// documents says where documents are.
	documents module.DocumentsConfig
	nats      module.NATSConfig
	identity  module.IdentityConfig
	redis     redisx.Config
	redisErr  error // from decoding Redis's configuration; few commands need Redis
	// identityErr is from decoding the configuration of the keys, which are not needed if NATS has a user.
	identityErr error
}

// Open returns the source's souk. It connects to nothing yet.
//
// Errors: [dev.NotRunningError], invalid.
func Open(src Source) (*Souk, error) {
	if src.Config != "" || os.Getenv("SOUK_POSTGRES_URL") != "" {
		tree, err := settings.Load(src.Config, os.Environ())
		if err != nil {
			return nil, err
		}
		s := &Souk{
			modules: src.Modules, tree: tree, postgres: module.DefaultPostgres(), redis: redisx.Default(),
		}
		s.redisErr = tree.Decode("redis", &s.redis)
		s.identity.TTL = time.Minute // valid; commands sign no tokens for calls
		s.identityErr = tree.Decode("identity", &s.identity)
		return s, errors.Join(tree.Decode("postgres", &s.postgres),
			tree.Decode("documents", &s.documents), tree.Decode("nats", &s.nats))
	}
	state, err := dev.Running(src.DataDir)
	if err != nil {
		return nil, fmt.Errorf("%w; or name the configuration of another souk with --config", err)
	}
	s := &Souk{
		state:     state,
		modules:   src.Modules,
		postgres:  module.PostgresConfig{URLs: secrets.PlainMap(state.Databases)},
		documents: state.Documents.Config(),
		nats:      module.NATSConfig{URL: secrets.Plain(state.NATS.URL)},
		identity: module.IdentityConfig{
			Keys: map[string]secrets.Value{natsauth.Operator: secrets.Plain(state.NATS.OperatorKey)},
		},
		redis: redisx.Default(),
	}
	s.redis.Addr = state.Redis
	if state.TLS != nil {
		s.nats.TLS, s.redis.TLS, s.redis.Config = *state.TLS, true, *state.TLS
	}
	return s, nil
}

// open connects to a service's database. The caller closes it.
func (s *Souk) open(ctx context.Context, service string) (*pgxpool.Pool, error) {
	url, err := s.postgres.ServiceURL(service)
	if err != nil {
		return nil, err
	}
	// A check of a large database takes long and reads other databases at the same time, so no timeout bounds its
	// statements and transactions.
	pool, err := postgres.Open(ctx, postgres.Config{
		URL: url, MaxConns: maxConns, ConnectTimeout: connectTimeout, Pooled: s.postgres.Pooled,
		StatementTimeout: -1, IdleInTransactionTimeout: -1, ApplicationName: "souk command",
	})
	if err != nil {
		return nil, fmt.Errorf("the database of %s: %w", service, err)
	}
	return pool, nil
}

// documentsOf opens the documents of a service with this database. The caller calls closeStore.
func (s *Souk) documentsOf(
	service string, pool *pgxpool.Pool,
) (store *document.Store, closeStore func(context.Context) error, err error) {
	m, err := s.documents.Open(service, pool, nil, zap.NewNop())
	if err != nil {
		return nil, nil, fmt.Errorf("the documents of %s: %w", service, err)
	}
	if m == nil {
		return document.Open(pool), func(context.Context) error { return nil }, nil
	}
	return m.Store(), m.Close, nil
}

// openAll connects to the databases of services. It returns the pools by service. The caller calls closeAll.
func (s *Souk) openAll(
	ctx context.Context, services []string,
) (pools map[string]*pgxpool.Pool, closeAll func(), err error) {
	pools = map[string]*pgxpool.Pool{}
	closeAll = func() {
		for _, p := range pools {
			p.Close()
		}
	}
	for _, name := range services {
		if pools[name], err = s.open(ctx, name); err != nil {
			delete(pools, name)
			closeAll()
			return nil, nil, err
		}
	}
	return pools, closeAll, nil
}

// connectNATS connects to NATS. The caller closes the connection.
func (s *Souk) connectNATS() (*nats.Conn, error) {
	url := s.nats.URL.Get()
	if url == "" {
		return nil, settings.ErrNoNATS
	}
	opts, err := s.nats.Options(s.identity, zap.NewNop(), natsauth.Operator)
	if err != nil {
		return nil, errors.Join(s.identityErr, err)
	}
	nc, err := nats.Connect(url, append(opts, nats.Name("souk command"), nats.Timeout(connectTimeout))...)
	if err != nil {
		return nil, fmt.Errorf("NATS can't be reached at %s: %w", withoutPasswords(url), err)
	}
	return nc, nil
}

// withoutPasswords masks the passwords in a list of URLs that are separated by commas.
func withoutPasswords(servers string) string {
	var shown []string
	for s := range strings.SplitSeq(servers, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil {
			return "the configured address"
		}
		shown = append(shown, u.Redacted())
	}
	return strings.Join(shown, ", ")
}

// jetStream connects to JetStream. The caller closes the connection.
func (s *Souk) jetStream() (jetstream.JetStream, *nats.Conn, error) {
	nc, err := s.connectNATS()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return js, nc, nil
}

// databases returns the modules that have a database.
func (s *Souk) databases() []module.Module {
	return slices.DeleteFunc(slices.Clone(s.modules), func(m module.Module) bool { return len(m.Sets()) == 0 })
}

// servicesWith returns the names of the services with a database whose module choose accepts.
func (s *Souk) servicesWith(choose func(module.Module) bool) []string {
	var names []string
	for _, m := range s.databases() {
		if choose(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

func hasSagas(m module.Module) bool      { return m.Tables.Saga }
func hasJobs(m module.Module) bool       { return m.Tables.Jobs }
func hasOutbox(m module.Module) bool     { return m.Tables.Outbox }
func hasDocuments(m module.Module) bool  { return m.Documents }
func hasInvariants(m module.Module) bool { return m.Invariants != "" || m.LateInvariants != nil }

// ago returns a time relative to now, such as "2m3s ago"; "-" for the zero time.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	suffix := " ago"
	if d < 0 {
		d, suffix = -d, " from now"
	}
	switch {
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	case d < 24*time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Hour)
	}
	return d.String() + suffix
}

// cell returns a text as one cell of a table: on one line, at most so many characters, "-" if it is empty.
func cell(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return cmp.Or(s, "-")
}
