package module

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/gen/go/souk/services"
	"souk/pkg/breaker"
	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/config"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/httpclient"
	"souk/pkg/identity"
	"souk/pkg/metric"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
	"souk/pkg/retry"
	"souk/pkg/rpc"
)

// Platform provides a module with its configuration, logger, metrics, database and clients. It belongs to one module,
// and opens a resource only when the module first requests it.
type Platform struct {
	name     string
	sets     []migration.Set
	scans    bool
	docs     bool
	shared   *resources
	config   *config.Tree
	logger   *zap.Logger
	metrics  prometheus.Registerer
	tracer   trace.Tracer
	clock    clock.Clock
	signer   *identity.Signer
	verifier *identity.Verifier
	server   *rpc.Server

	mu    sync.Mutex
	pool  *pgxpool.Pool
	stale *postgres.Replica // nil: the module's database has no replica, or the module does not read from it
	conn  grpc.ClientConnInterface
	relay *outbox.Relay
	mongo *document.Mongo // nil: documents are in PostgreSQL, or the module has none
}

func newPlatform(m Module, tree *config.Tree, shared *resources) (*Platform, error) {
	name := m.Name
	keys, err := shared.identity()
	if err != nil {
		return nil, err
	}
	key, err := keys.Key(name)
	if err != nil {
		return nil, err
	}
	verifier, err := shared.verifier()
	if err != nil {
		return nil, err
	}
	pageKey, err := hkdf.Key(sha256.New, key.Seed(), nil, "souk page tokens", sha256.Size)
	if err != nil {
		return nil, err
	}
	p := &Platform{
		name:     name,
		sets:     m.Sets(),
		scans:    m.Scans,
		docs:     m.Documents,
		shared:   shared,
		config:   tree,
		clock:    shared.clock,
		logger:   shared.logger.Named(name),
		metrics:  metric.ForService(shared.registry, name),
		tracer:   shared.tracer(name),
		signer:   verifier.Signer(name, key, keys.TTL),
		verifier: verifier,
	}
	p.server = rpc.NewServer(rpc.ServerOptions{
		Service:  name,
		Verifier: verifier,
		Logger:   p.logger,
		Tracer:   p.tracer,
		Metrics:  p.metrics,
		Limit:    shared.rpc.Limit,
		PageKey:  pageKey,
		Record:   p.record,
	})
	return p, nil
}

// Service returns the module's name.
func (p *Platform) Service() string { return p.name }

// Config decodes the module's configuration section into `into`, which holds the defaults.
func (p *Platform) Config(into any) error { return p.config.Decode(p.name, into) }

// Logger returns the module's logger.
func (p *Platform) Logger() *zap.Logger { return p.logger }

// Metrics returns the registerer of the module's metrics, which get the module's name as a label.
func (p *Platform) Metrics() prometheus.Registerer { return p.metrics }

// Tracer returns the module's tracer.
func (p *Platform) Tracer() trace.Tracer { return p.tracer }

// Clock returns the process's clock.
func (p *Platform) Clock() clock.Clock { return p.clock }

// Signer returns the signer of this module's identity.
func (p *Platform) Signer() *identity.Signer { return p.signer }

// Verifier returns a verifier that knows all services' keys.
func (p *Platform) Verifier() *identity.Verifier { return p.verifier }

// Breakers returns the process's breakers, one per target.
func (p *Platform) Breakers() *breaker.Registry { return p.shared.breakers }

// Server returns the registrar for the module's RPC service. The service is served after Build has returned.
func (p *Platform) Server() grpc.ServiceRegistrar { return p.server }

// HTTPClient returns a client for an external target, with a breaker, traces and metrics.
func (p *Platform) HTTPClient(target string) (*http.Client, error) {
	return httpclient.New(
		target,
		httpclient.Options{
			Breakers: p.shared.breakers,
			Tracers:  p.shared.telemetry.ForService(p.name),
			Metrics:  p.metrics,
		},
	)
}

// Client returns a connection for generated stubs. It reaches every service of souk and calls as this module.
func (p *Platform) Client() (grpc.ClientConnInterface, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		transport, err := p.shared.transport()
		if err != nil {
			return nil, err
		}
		p.conn = rpc.NewClient(transport.Conn(), rpc.ClientOptions{
			Service:  p.name,
			Signer:   p.signer,
			Breakers: p.shared.breakers,
			Tracer:   p.tracer,
			Metrics:  p.metrics,
			Retry:    retry.Default(),
		})
	}
	return p.conn, nil
}

// Postgres opens the module's own database.
func (p *Platform) Postgres(ctx context.Context) (*pgxpool.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool == nil {
		url, err := p.shared.postgresURL(p.name)
		if err != nil {
			return nil, err
		}
		cfg, err := p.postgresConfig(url, serverPrimary)
		if err != nil {
			return nil, err
		}
		if p.shared.postgres.Changes(p.name) {
			cfg.Current = func() (string, error) { return p.shared.postgresURL(p.name) }
		}
		cfg.Pooled = p.shared.postgres.Pooled
		pool, err := postgres.Open(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("open the database of %s: %w", p.name, err)
		}
		if err := p.metrics.Register(newPoolCollector(serverPrimary, pool.Stat)); err != nil {
			pool.Close()
			return nil, fmt.Errorf("metrics of the database of %s: %w", p.name, err)
		}
		p.shared.onClose(pool.Close)
		p.pool = pool
	}
	return p.pool, nil
}

// postgresConfig returns the configuration of a pool whose statements are measured as those of server.
func (p *Platform) postgresConfig(url, server string) (postgres.Config, error) {
	queries, err := metric.Register(p.metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "postgres_query_duration_seconds",
		Help:    "Time from a statement's or batch's sending to its last row.",
		Buckets: metric.DurationBuckets(),
	}, []string{"server"}))
	if err != nil {
		return postgres.Config{}, err
	}
	return postgres.Config{
		URL: url, MaxConns: p.shared.postgres.MaxConns, ByKey: !p.scans, ApplicationName: "souk-" + p.name,
		Tracer: postgres.Measure(queries.WithLabelValues(server)),
	}, nil
}

// Replica opens the replica of the module's own database; nil if postgres.replicas has none. It polls as long as the
// module runs.
func (p *Platform) Replica(ctx context.Context) (*postgres.Replica, error) {
	url := p.shared.postgres.ReplicaURL(p.name)
	if url == "" {
		return nil, nil //nolint:nilnil // documented
	}
	primary, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale == nil {
		reads, err := metric.Register(p.metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postgres_replica_read_total",
			Help: "Reads that may be out of date, by what served them and, if it was the primary, why.",
		}, []string{"source"}))
		if err != nil {
			return nil, err
		}
		cfg, err := p.postgresConfig(url, serverReplica)
		if err != nil {
			return nil, err
		}
		if p.shared.postgres.Changes(p.name) {
			cfg.Current = func() (string, error) { return p.shared.postgres.ReplicaURL(p.name), nil }
		}
		replica, err := postgres.OpenReplica(ctx, primary, postgres.ReplicaConfig{
			Config:       cfg,
			MaxStaleness: p.shared.postgres.MaxStaleness,
			Served:       func(source string) { reads.WithLabelValues(source).Inc() },
		})
		if err != nil {
			return nil, fmt.Errorf("open the replica of the database of %s: %w", p.name, err)
		}
		p.shared.onClose(replica.Close)
		if err := p.metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postgres_replica_lag_seconds",
			Help: "Age of the newest state that the replica is known to have; 0 to 2 s is none.",
		}, func() float64 { return replica.Lag().Seconds() })); err != nil {
			return nil, fmt.Errorf("metrics of the replica of the database of %s: %w", p.name, err)
		}
		if err := p.metrics.Register(newPoolCollector(serverReplica, replica.Stat)); err != nil {
			return nil, fmt.Errorf("metrics of the replica of the database of %s: %w", p.name, err)
		}
		p.stale = replica
	}
	return p.stale, nil
}

// watchReplica polls the replica.
func (p *Platform) watchReplica() Runnable {
	return Func(chore.Chore{
		Name: "watch the replica", Every: postgres.ReplicaPoll, Logger: p.logger,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return 0, p.stale.Poll(ctx) },
	}.Run)
}

// Reach returns nil if a process serves the RPCs of a service.
//
// Errors: unavailable.
func (p *Platform) Reach(ctx context.Context, service string) error {
	transport, err := p.shared.transport()
	if err != nil {
		return err
	}
	return transport.Reach(ctx, service)
}

// CheckSchemas returns an error if the database of a module of this process lacks a migration.
//
// Errors: unavailable, timeout (a database does not answer).
func (p *Platform) CheckSchemas(ctx context.Context) error { return p.shared.schemas(ctx) }

// checkSchema returns an error if the module's database lacks a migration.
func (p *Platform) checkSchema(ctx context.Context) error {
	if len(p.sets) == 0 {
		return nil
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return err
	}
	return postgres.Err(migration.Check(ctx, pool, p.sets...))
}

// Documents opens the module's own document store: in MongoDB if documents.url is set, or else in the module's
// database. The platform moves the events of documents in MongoDB to the module's outbox.
func (p *Platform) Documents(ctx context.Context) (*document.Store, error) {
	if !p.docs {
		return nil, errs.New(errs.Internal, "the module %s keeps documents: set Documents", p.name)
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	if !p.shared.documents.URL.IsSet() {
		return document.Open(pool), nil
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mongo == nil {
		if p.mongo, err = p.shared.documents.Open(p.name, pool, relay.Wake, p.logger); err != nil {
			return nil, fmt.Errorf("open the documents of %s: %w", p.name, err)
		}
		p.shared.onClose(func() {
			ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
			defer cancel()
			if err := p.mongo.Close(ctx); err != nil {
				p.logger.Warn("connections to MongoDB not closed", zap.Error(err))
			}
		})
	}
	return p.mongo.Store(), nil
}

// Redis opens the process's Redis.
func (p *Platform) Redis(ctx context.Context) (rueidis.Client, error) { return p.shared.redis(ctx) }

// Cache opens the Redis for what may be evicted. It is the process's Redis, unless the section cache names another.
func (p *Platform) Cache(ctx context.Context) (rueidis.Client, error) { return p.shared.cache(ctx) }

// JetStream opens the process's JetStream.
func (p *Platform) JetStream(_ context.Context) (jetstream.JetStream, error) {
	return p.shared.jetStream()
}

// Relay returns the relay of the module's outbox. The module must run it, and may wake it after appending events.
func (p *Platform) Relay(ctx context.Context) (*outbox.Relay, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	js, err := p.shared.jetStream()
	if err != nil {
		return nil, err
	}
	publisher, err := p.shared.publisher()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.relay == nil {
		p.relay = outbox.NewRelay(pool, js, outbox.Options{
			Service:   p.name,
			Publisher: publisher,
			Clock:     p.clock,
			Logger:    p.logger,
			Metrics:   p.metrics,
		})
	}
	return p.relay, nil
}

// record writes an event of the audit trail to the module's outbox.
func (p *Platform) record(ctx context.Context, e event.Event) error {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return err
	}
	if err := outbox.Append(ctx, pool, e); err != nil {
		return err
	}
	relay.Wake()
	return nil
}

// Consumer returns an event consumer whose effects are in the module's database. It sets Service, Clock, Logger, Tracer
// and Metrics of o. The registry of services must have the consumer, because it is provisioned from there.
func (p *Platform) Consumer(ctx context.Context, o outbox.ConsumerOptions) (*outbox.Consumer, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	js, err := p.shared.jetStream()
	if err != nil {
		return nil, err
	}
	o.Service = p.name
	for _, s := range services.All() { // another module than a service of souk is one of a test
		known := func(c services.Consumer) bool {
			return c.Purpose == o.Purpose && slices.Equal(c.Subjects, o.Subjects)
		}
		if s.Name == p.name && !slices.ContainsFunc(s.Consumers, known) {
			return nil, errs.New(
				errs.Internal,
				"the registry of services lacks the consumer %s of %s: run make generate",
				o.Purpose,
				p.name,
			)
		}
	}
	o.Clock, o.Logger, o.Tracer, o.Metrics = p.clock, p.logger, p.tracer, p.metrics
	return outbox.NewConsumer(js, pool, o), nil
}
