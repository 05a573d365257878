package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"souk/apps/gateway/internal/firewall"
	"souk/apps/gateway/internal/middleware"
	"souk/apps/gateway/internal/observation"
	"souk/apps/gateway/internal/repository"
	"souk/apps/gateway/internal/rest"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/module"
	"souk/pkg/setting"
)

// Module is the gateway.
var Module = module.Module{
	Name:   "gateway",
	Config: func() any { return new(Default()) },
	Redis:  func(any) bool { return true },
	NATS:   true, // for events of changed settings
	Build:  build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	redis, err := p.Redis(ctx)
	if err != nil {
		return nil, err
	}
	byCaller, err := repository.NewLimiter(redis, "caller", cfg.CallerRate.PerSecond, cfg.CallerRate.burst())
	if err != nil {
		return nil, err
	}
	byAddress, err := repository.NewLimiter(redis, "address", cfg.AddressRate.PerSecond, cfg.AddressRate.burst())
	if err != nil {
		return nil, err
	}
	settings, err := p.Settings(nil)
	if err != nil {
		return nil, err
	}
	counters, err := middleware.NewMetrics(p.Metrics())
	if err != nil {
		return nil, err
	}
	keptLong, err := repository.NewRetention(redis, "kept", cfg.IdempotencyQuota, cfg.IdempotencyTTL)
	if err != nil {
		return nil, err
	}
	keptShort, err := repository.NewRetention(redis, "kept-short", cfg.IdempotencyQuota, cfg.IdempotencyShortTTL)
	if err != nil {
		return nil, err
	}
	wall, err := firewall.New(cfg.Firewall, cfg.trustedProxies(), p.Logger(), p.Metrics())
	if err != nil {
		return nil, err
	}
	observer, err := observation.New(observation.Deps{
		Service: securityv1.NewSecurityServiceClient(conn), Clock: p.Clock(), Logger: p.Logger(), Metrics: p.Metrics(),
	})
	if err != nil {
		return nil, err
	}
	s := &server{
		lameDuck: cfg.LameDuck, drain: cfg.DrainTimeout, logger: p.Logger(), backends: newBackends(p.Reach),
		schemas: p.CheckSchemas, streams: make(chan struct{}), settings: settings,
		report: observer.Run,
	}
	s.redis = func(ctx context.Context) error { return repository.Ping(ctx, redis) }
	handler, err := rest.New(ctx, rest.Deps{
		Conn:   conn,
		Signer: p.Signer(),
		Keys:   repository.NewKeys(redis), KeptLong: keptLong, KeptShort: keptShort,
		Cache: middleware.NewResponseCache(repository.NewTags(redis), cfg.Cache.MaxBytes, cfg.Cache.StaleIfError,
			p.Clock(), counters),
		ByCaller:  byCaller,
		ByKey:     repository.NewKeyLimiters(redis).Limiter,
		ByAddress: byAddress,
		Firewall:  wall,
		Observer:  observer, CountryHeader: cfg.CountryHeader,
		Logger:  p.Logger(),
		Tracer:  p.Tracer(),
		Metrics: p.Metrics(), Counters: counters,
		Clock:          p.Clock(),
		PublicURL:      cfg.publicURL(),
		DevURL:         cfg.DevURL,
		Environment:    cfg.Environment,
		Origins:        cfg.Origins,
		LoopbackOnly:   cfg.LoopbackOnly,
		TrustedProxies: cfg.trustedProxies(),
		MaxBody:        cfg.MaxBody,
		Timeout:        cfg.Timeout,
		Ready:          s.takesTraffic,
		Permissions:    permissionsOf(settings),
		SecondOperator: setting.Derive(settings, setting.AccessSecondOperator.Of).Load,
		Stopping:       s.streams,
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf(
			"%s is in use: stop what listens there, or choose another address (gateway.addr, souk dev --http): %w",
			cfg.Addr, err,
		)
	}
	s.listener, err = newBoundedListener(
		listener, cfg.MaxConnections, cfg.MaxConnectionsPerAddress, cfg.trustedProxies(), p.Metrics(),
	)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p.Logger().Info("listening", zap.Stringer("addr", s.listener.Addr()))
	s.http = &http.Server{
		Handler:           s.closeWhenStopping(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       cfg.Timeout,
		WriteTimeout:      cfg.Timeout + 5*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(p.Logger()),
	}
	return s, nil
}
