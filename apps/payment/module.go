package payment

import (
	"context"
	"embed"
	"slices"
	"time"

	"souk/apps/payment/internal/handler"
	"souk/apps/payment/internal/repository"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/chore"
	"souk/pkg/migration"
	"souk/pkg/module"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the payment service.
var Module = module.Module{
	Name:           "payment",
	Config:         func() any { return new(Default()) },
	Migrations:     migrations,
	Embedded:       []migration.Set{sandbox.Migrations()},
	Invariants:     invariants,
	LateInvariants: map[string]string{sandbox.Name: sandbox.Invariants},
	Tables:         module.Tables{Outbox: true},
	Build:          build,
}

// Failpoints lists the points between two writes at which tests stop the process.
func Failpoints() []string { return slices.Clone(service.Failpoints) }

// forgetEvery is the interval at which old rows are deleted. It is not configurable: a pass costs almost
// nothing.
const forgetEvery = 10 * time.Minute

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	provider, jobs, err := providers[cfg.Provider](ctx, p, cfg)
	if err != nil {
		return nil, err
	}
	store := repository.New(pool, relay.Wake)
	svc := service.New(service.Deps{
		Store: store, Breakers: p.Breakers(), Clock: p.Clock(), Logger: p.Logger(),
		Provider: provider, ProviderName: cfg.Provider, ProviderTimeout: cfg.ProviderTimeout,
	})
	reconcile, err := handler.Reconcile(
		svc, cfg.Reconcile.Every, cfg.Reconcile.OpenFor, cfg.Reconcile.GiveUp, p.Metrics(),
	)
	if err != nil {
		return nil, err
	}
	paymentv1.RegisterPaymentServiceServer(p.Server(), handler.New(svc))
	return module.Group(append(jobs,
		relay,
		module.Func(reconcile),
		module.Func(handler.Forget(svc.ForgetWebhooks, forgetEvery, p.Logger())),
		module.Func(chore.Forget("forget refused payments", cfg.ForgetRefusedAfter, store.ForgetRefused, p.Clock(),
			p.Logger()).Run),
	)...), nil
}

// providers opens each payment provider, by its name, and returns it with its background work.
var providers = map[string]func(context.Context, *module.Platform, Config) (service.Provider, []module.Runnable, error){
	sandbox.Name: openSandbox,
}

func openSandbox(ctx context.Context, p *module.Platform, cfg Config) (service.Provider, []module.Runnable, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, err := p.HTTPClient("sandbox-webhooks")
	if err != nil {
		return nil, nil, err
	}
	s := sandbox.New(sandbox.Options{
		DB:           pool,
		Clock:        p.Clock(),
		Logger:       p.Logger(),
		HTTP:         client,
		Secret:       cfg.Sandbox.WebhookSecret,
		FormerSecret: cfg.Sandbox.FormerWebhookSecret,
		WebhookURL:   cfg.Sandbox.WebhookURL,
		LostAfter:    cfg.Sandbox.LostAfter,
		SlowFor:      cfg.Sandbox.SlowFor,
	})
	return s, []module.Runnable{
		module.Func(s.DeliverEvery(cfg.Sandbox.WebhookEvery)),
		module.Func(handler.Forget(s.Forget, forgetEvery, p.Logger())),
	}, nil
}
