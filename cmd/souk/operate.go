package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/config"
	"souk/pkg/module"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
)

const (
	connectTimeout = 5 * time.Second
	operateConns   = 4 // connections of a command to one database, at most
)

// reach holds the addresses of the souk that a command operates on: a running souk dev, or the one of a
// configuration.
type reach struct {
	state    *devState // nil if the addresses are from a configuration
	postgres module.PostgresConfig
	nats     module.NATSConfig
	redis    redisx.Config
	redisErr error // from decoding Redis's configuration; few commands need Redis
}

// reachOf returns the addresses from the configuration if one is given, and otherwise from the souk dev that runs on
// the data directory.
func reachOf(dev *devFlags, file *configFlag) (*reach, error) {
	if file.path != "" || os.Getenv("SOUK_POSTGRES_URL") != "" {
		tree, err := file.load()
		if err != nil {
			return nil, err
		}
		return reachByConfig(tree)
	}
	state, err := dev.running()
	if err != nil {
		return nil, fmt.Errorf("%w; or name the configuration of another souk with --config", err)
	}
	r := &reach{
		state:    state,
		postgres: module.PostgresConfig{URLs: state.Databases},
		nats:     module.NATSConfig{URL: state.NATS.URL, User: state.NATS.User, Password: state.NATS.Password},
		redis:    redisx.Default(),
	}
	r.redis.Addr = state.Redis
	return r, nil
}

func reachByConfig(tree *config.Tree) (*reach, error) {
	r := &reach{postgres: module.PostgresConfig{MaxConns: operateConns}, redis: redisx.Default()}
	r.redisErr = tree.Decode("redis", &r.redis)
	return r, errors.Join(tree.Decode("postgres", &r.postgres), tree.Decode("nats", &r.nats))
}

// databasesOf returns a function that returns the URL of a service's database.
func databasesOf(dev *devFlags, file *configFlag) (func(service string) (string, error), error) {
	r, err := reachOf(dev, file)
	if err != nil {
		return nil, err
	}
	return r.postgres.ServiceURL, nil
}

// open connects to a service's database. The caller closes it.
func (r *reach) open(ctx context.Context, service string) (*pgxpool.Pool, error) {
	url, err := r.postgres.ServiceURL(service)
	if err != nil {
		return nil, err
	}
	// A check of a large database takes long and reads other databases at the same time, so no timeout bounds its
	// statements and transactions.
	pool, err := postgres.Open(ctx, postgres.Config{
		URL: url, MaxConns: operateConns, ConnectTimeout: connectTimeout,
		StatementTimeout: -1, IdleInTransactionTimeout: -1, ApplicationName: "souk command",
	})
	if err != nil {
		return nil, fmt.Errorf("the database of %s: %w", service, err)
	}
	return pool, nil
}

// openAll connects to the databases of services. It returns the pools by service. The caller calls closeAll.
func (r *reach) openAll(
	ctx context.Context,
	services []string,
) (pools map[string]*pgxpool.Pool, closeAll func(), err error) {
	pools = map[string]*pgxpool.Pool{}
	closeAll = func() {
		for _, p := range pools {
			p.Close()
		}
	}
	for _, s := range services {
		if pools[s], err = r.open(ctx, s); err != nil {
			delete(pools, s)
			closeAll()
			return nil, nil, err
		}
	}
	return pools, closeAll, nil
}

var errNoNATS = errors.New(
	"nats.url is not set: give the URL of the NATS servers in the configuration, e.g. nats://nats:4222",
)

// connectNATS connects to NATS. The caller closes the connection.
func (r *reach) connectNATS() (*nats.Conn, error) {
	if r.nats.URL == "" {
		return nil, errNoNATS
	}
	opts := []nats.Option{nats.Name("souk command"), nats.Timeout(connectTimeout)}
	if r.nats.User != "" {
		opts = append(opts, nats.UserInfo(r.nats.User, r.nats.Password))
	}
	if r.nats.Credentials != "" {
		opts = append(opts, nats.UserCredentials(r.nats.Credentials))
	}
	nc, err := nats.Connect(r.nats.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("NATS can't be reached at %s: %w", withoutPasswords(r.nats.URL), err)
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
func (r *reach) jetStream() (jetstream.JetStream, *nats.Conn, error) {
	nc, err := r.connectNATS()
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

// servicesWith returns the names of the services with a database whose module choose accepts.
func servicesWith(choose func(module.Module) bool) []string {
	var names []string
	for _, m := range withDatabase() {
		if choose(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

func hasSagas(m module.Module) bool  { return m.Tables.Saga }
func hasOutbox(m module.Module) bool { return m.Tables.Outbox }

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
