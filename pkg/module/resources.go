package module

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/dig"
	"go.uber.org/zap"

	"souk/gen/go/souk/services"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/config"
	"souk/pkg/identity"
	"souk/pkg/natsrpc"
	"souk/pkg/outbox"
	"souk/pkg/redisx"
	"souk/pkg/rpc"
	"souk/pkg/telemetry"
)

// resources are shared by the modules of a process. Each is created when it is first requested.
type resources struct {
	embedded  []nats.Option // connect to an embedded server
	logger    *zap.Logger
	registry  *prometheus.Registry
	telemetry *telemetry.Provider
	clock     clock.Clock
	breakers  *breaker.Registry
	postgres  PostgresConfig
	documents DocumentsConfig
	rpc       RPCConfig
	schemas   func(context.Context) error // checks the databases of all modules of the process

	container *dig.Container

	mu sync.Mutex // guards container

	closing sync.Mutex // guards closers
	closers []func()
}

func newResources(
	tree *config.Tree, log *zap.Logger, reg *prometheus.Registry, tel *telemetry.Provider, o Options, names []string,
) (*resources, error) {
	r := &resources{
		embedded: o.NATS, logger: log, registry: reg, telemetry: tel, clock: o.Clock,
		breakers: breaker.NewRegistry(breaker.Options{}, reg), postgres: DefaultPostgres(), container: dig.New(),
		rpc: DefaultRPC(),
	}
	if r.clock == nil {
		r.clock = clock.System{}
	}
	if err := tree.Decode(sectionRPC, &r.rpc); err != nil {
		return nil, err
	}
	if err := tree.Decode(sectionPostgres, &r.postgres); err != nil {
		return nil, err
	}
	if err := tree.Decode(sectionDocuments, &r.documents); err != nil {
		return nil, err
	}
	providers := []any{
		func() (NATSConfig, error) { return decode(tree, sectionNATS, NATSConfig{}) },
		func() (redisx.Config, error) { return decode(tree, sectionRedis, redisx.Default()) },
		func() (IdentityConfig, error) { return decode(tree, sectionIdentity, DefaultIdentity()) },
		func(c IdentityConfig) (*identity.Verifier, error) {
			keys, err := c.trusted(services.Names())
			if err != nil {
				return nil, err
			}
			return identity.NewVerifier(keys, clock.System{}), nil
		},
		func(c NATSConfig, id IdentityConfig) (*nats.Conn, error) {
			opts, err := c.Options(id, log, names...)
			if err != nil {
				return nil, err
			}
			return r.connectNATS(c, append(opts, o.NATS...)...)
		},
		func(nc *nats.Conn) (jetstream.JetStream, error) { return jetstream.New(nc) },
		outbox.NewPublisher,
		func(c redisx.Config) (rueidis.Client, error) { return r.openRedis(c) },
		func(client rueidis.Client) (cacheRedis, error) {
			c, err := decode(tree, sectionCache, DefaultCache())
			if err == nil && c.IsSet() {
				client, err = r.openRedis(c.Config)
			}
			return cacheRedis{client}, err
		},
	}
	if r.rpc.Transport == transportNATS {
		providers = append(providers,
			func(nc *nats.Conn) rpc.Transport { return natsrpc.New(nc, natsrpc.Options{Logger: log}) })
	} else {
		providers = append(providers, func() rpc.Transport { return rpc.NewLocal() })
	}
	for _, p := range providers {
		if err := r.container.Provide(p); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// cacheRedis is the Redis for what may be evicted.
type cacheRedis struct{ rueidis.Client }

func (r *resources) openRedis(c redisx.Config) (rueidis.Client, error) {
	c.Logger = r.logger
	client, err := redisx.Open(context.Background(), c)
	if err != nil {
		return nil, fmt.Errorf("open Redis: %w", err)
	}
	r.onClose(client.Close)
	return client, nil
}

// decode decodes a configuration section into its defaults.
func decode[T any](tree *config.Tree, section string, defaults T) (T, error) {
	err := tree.Decode(section, &defaults)
	return defaults, err
}

// resolve returns the resource of type T, and creates it on the first call.
func resolve[T any](r *resources) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out T
	err := r.container.Invoke(func(v T) { out = v })
	return out, dig.RootCause(err)
}

func (r *resources) identity() (IdentityConfig, error)             { return resolve[IdentityConfig](r) }
func (r *resources) verifier() (*identity.Verifier, error)         { return resolve[*identity.Verifier](r) }
func (r *resources) transport() (rpc.Transport, error)             { return resolve[rpc.Transport](r) }
func (r *resources) jetStream() (jetstream.JetStream, error)       { return resolve[jetstream.JetStream](r) }
func (r *resources) nats() (*nats.Conn, error)                     { return resolve[*nats.Conn](r) }
func (r *resources) publisher() (*outbox.Publisher, error)         { return resolve[*outbox.Publisher](r) }
func (r *resources) redis(context.Context) (rueidis.Client, error) { return resolve[rueidis.Client](r) }
func (r *resources) cache(context.Context) (rueidis.Client, error) { return resolve[cacheRedis](r) }
func (r *resources) tracer(service string) trace.Tracer {
	return r.telemetry.ForService(service).Tracer("souk/" + service)
}

func (r *resources) postgresURL(service string) (string, error) {
	return r.postgres.ServiceURL(service)
}

func (r *resources) connectNATS(c NATSConfig, more ...nats.Option) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("souk"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOutstanding),
		nats.RetryOnFailedConnect(true),
		natsrpc.BatchWrites(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				r.logger.Warn("NATS connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { r.logger.Info("NATS connection restored") }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			r.logger.Warn("NATS", zap.String("subject", subject), zap.Error(err))
		}),
	}
	opts = append(opts, more...)
	url := c.URL.Get()
	if url == "" && len(r.embedded) == 0 {
		return nil, errors.New("nats.url is not set: give the URL of the NATS servers, e.g. nats://nats:4222")
	}
	closed := make(chan struct{})
	opts = append(opts, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	r.onClose(func() {
		nc.Close()
		select { // wait for the connection's goroutines
		case <-closed:
		case <-time.After(flushTimeout):
		}
	})
	return nc, nil
}

// onClose registers f to be called when the process ends, in reverse order of registration.
func (r *resources) onClose(f func()) {
	r.closing.Lock()
	defer r.closing.Unlock()
	r.closers = append(r.closers, f)
}

func (r *resources) close() {
	r.closing.Lock()
	defer r.closing.Unlock()
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
	r.closers = nil
}
