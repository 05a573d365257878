package payment

import (
	"context"
	"embed"
	"io/fs"
	"slices"
	"time"

	"souk/apps/payment/internal/handler"
	"souk/apps/payment/internal/repository"
	"souk/apps/payment/internal/sandbox"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/module"
)

//go:embed db/migrations/*.sql
var files embed.FS

// Module is the payment service.
var Module = module.Module{Name: "payment", Migrations: migrations(), Tables: module.Tables{Outbox: true}, Build: build}

func migrations() fs.FS {
	sub, err := fs.Sub(files, "db/migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
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
	client, err := p.HTTPClient("sandbox-webhooks")
	if err != nil {
		return nil, err
	}
	provider := sandbox.Open(sandbox.Options{
		DB: pool, Clock: p.Clock(), Logger: p.Logger(), HTTP: client,
		Secret: cfg.Sandbox.WebhookSecret, WebhookURL: cfg.Sandbox.WebhookURL,
		LostAfter: cfg.Sandbox.LostAfter, SlowFor: cfg.Sandbox.SlowFor,
	})
	svc := service.New(service.Deps{
		Store: repository.Open(pool, relay.Wake), Breakers: p.Breakers(), Clock: p.Clock(), Logger: p.Logger(),
		Provider: provider, ProviderName: sandbox.Name, ProviderTimeout: cfg.ProviderTimeout,
	})
	paymentv1.RegisterPaymentServiceServer(p.Server(), &handler.RPC{Service: svc})
	return module.Group(
		relay,
		module.Func(handler.Reconcile(svc, cfg.Reconcile.Every, cfg.Reconcile.OpenFor, cfg.Reconcile.GiveUp)),
		module.Func(handler.Deliver(provider.Deliver, cfg.Sandbox.WebhookEvery, sandbox.DeliverBatch, p.Logger())),
		module.Func(handler.Forget(svc.ForgetWebhooks, forgetEvery, p.Logger())),
		module.Func(handler.Forget(provider.Forget, forgetEvery, p.Logger())),
	), nil
}
