package security

import (
	"context"
	"embed"
	"time"

	"souk/apps/security/internal/handler"
	"souk/apps/security/internal/repository"
	"souk/apps/security/internal/service"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the security service.
var Module = module.Module{
	Name:       "security",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

// forgetEvery is the time between two passes that delete old counts.
const forgetEvery = 5 * time.Minute

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	settings, err := p.Settings(nil)
	if err != nil {
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
	metrics, err := service.NewMetrics(p.Metrics())
	if err != nil {
		return nil, err
	}
	store := repository.New(pool, relay.Wake)
	trade, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "trade", Subjects: handler.TradeSubjects, Queue: store.Count(handler.Observed),
	})
	if err != nil {
		return nil, err
	}
	svc := service.New(service.Deps{
		Store: store, Clock: p.Clock(), Logger: p.Logger(), Metrics: metrics,
		Thresholds: setting.Derive(settings, thresholds).Load,
	})
	securityv1.RegisterSecurityServiceServer(p.Server(), handler.New(svc))
	detect := chore.Chore{
		Name: "detect security events", Pass: svc.Detect, Every: cfg.DetectEvery, Clock: p.Clock(), Logger: p.Logger(),
	}
	forget := chore.Chore{
		Name:   "forget old counts",
		Every:  forgetEvery,
		Batch:  repository.ForgetBatch,
		Clock:  p.Clock(),
		Logger: p.Logger(),
		Pass:   func(ctx context.Context, now time.Time) (int, error) { return store.Forget(ctx, cfg.Retain, now) },
	}
	return module.Group(settings, relay, trade, module.Func(detect.Run), module.Func(forget.Run)), nil
}
