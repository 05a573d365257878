package webhook

import (
	"context"
	"embed"
	"time"

	"souk/apps/webhook/internal/handler"
	"souk/apps/webhook/internal/repository"
	"souk/apps/webhook/internal/service"
	shopv1 "souk/gen/go/souk/shop/v1"
	webhookv1 "souk/gen/go/souk/webhook/v1"
	"souk/pkg/httpclient"
	"souk/pkg/jobs"
	"souk/pkg/module"
	"souk/pkg/outbox"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the webhook service.
var Module = module.Module{
	Name:       "webhook",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Invariants: invariants,
	Tables:     module.Tables{Outbox: true, Jobs: true},
	Build:      build,
}

// Failpoints lists the points at which tests stop the process.
func Failpoints() []string { return []string{service.FailAfterPost} }

const (
	// jobGrace is how much longer than a request a job may take.
	jobGrace = 10 * time.Second
	// rescueGrace is how long after its timeout a job counts as one of a process that died.
	rescueGrace = 5 * time.Second
	// cooldown is the shortest time between two looks for jobs: each look takes no more than are worked on at the same
	// time.
	cooldown = 5 * time.Millisecond
)

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	guard := httpclient.PublicOnly
	if cfg.AllowLocal {
		guard = httpclient.PublicOrLoopback
	}
	client, err := httpclient.New("webhook", httpclient.Options{
		Timeout: cfg.Timeout, Guard: guard, KeepRedirects: true, Metrics: p.Metrics(),
	})
	if err != nil {
		return nil, err
	}
	store := repository.New(pool)
	svc := service.New(service.Deps{
		Store: store, Shops: shopv1.NewShopServiceClient(conn), HTTP: client, Clock: p.Clock(),
		ShopEvents: handler.ShopEvents, AllEvents: handler.EventSubjects, AllowLocal: cfg.AllowLocal,
	})
	runner, err := jobs.New(pool, jobs.Options{
		Workers:     repository.Workers(p.Clock(), svc.Deliver),
		Queues:      map[string]int{repository.Queue: cfg.Concurrency},
		Retention:   retention(cfg, store),
		Timeout:     cfg.Timeout + jobGrace,
		RescueAfter: cfg.Timeout + jobGrace + rescueGrace,
		Cooldown:    cooldown,
		Clock:       p.Clock(),
		Logger:      p.Logger(),
		Metrics:     p.Metrics(),
	})
	if err != nil {
		return nil, err
	}
	events, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "events", Subjects: handler.EventSubjects, Queue: store.Consume(handler.Read, p.Clock()),
	})
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx) // for the audit trail
	if err != nil {
		return nil, err
	}
	webhookv1.RegisterWebhookServiceServer(p.Server(), handler.New(svc))
	return module.Group(relay, events, module.Func(func(ctx context.Context) error {
		defer client.CloseIdleConnections()
		return runner.Run(ctx)
	})), nil
}

func retention(cfg Config, s *repository.Store) []jobs.Retention {
	if cfg.KeepDeliveries == 0 {
		return nil
	}
	return []jobs.Retention{{
		Name: "forget_webhook_deliveries", Queue: repository.Queue, Keep: cfg.KeepDeliveries, Forget: s.Forget,
	}}
}
