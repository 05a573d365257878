package cart

import (
	"context"
	"embed"
	"time"

	"souk/apps/cart/internal/handler"
	"souk/apps/cart/internal/repository"
	"souk/apps/cart/internal/service"
	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/module"
	"souk/pkg/money"
	"souk/pkg/redisx"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the cart service.
var Module = module.Module{
	Name:       "cart",
	Config:     func() any { return new(Default()) },
	Redis:      func(any) bool { return true },
	Migrations: migrations,
	Invariants: invariants,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	currency, err := money.ParseCurrency(cfg.Currency)
	if err != nil {
		return nil, err
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	redis, err := p.Redis(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	settings, err := p.Settings(cfg.settings())
	if err != nil {
		return nil, err
	}
	carts, err := repository.New(redis, pool, repository.Options{
		Clock: p.Clock(), Due: cfg.WriteBack, GuestTTL: cfg.GuestTTL, UserTTL: cfg.UserTTL,
	})
	if err != nil {
		return nil, err
	}
	offers := repository.NewOffers(redis, productv1.NewProductServiceClient(conn), p.Clock(), cfg.OfferTTL)
	cartv1.RegisterCartServiceServer(
		p.Server(),
		handler.New(service.New(carts, offers, currency, p.Clock(), p.Logger())),
	)
	writeBack := handler.WriteBack(carts, cfg.WriteBack/4, p.Logger())
	abandonedAfter := setting.Derive(settings, setting.CartAbandonedAfter.Of)
	abandon := handler.Abandon(
		carts,
		func() (time.Duration, bool) { return abandonedAfter.Load(), settings.Loaded() },
		relay.Wake,
		p.Clock(),
		p.Logger(),
	)
	return module.Group(settings, relay, module.Func(abandon), &runnable{run: func(ctx context.Context) error {
		defer offers.Close()
		return writeBack(ctx)
	}, ready: func(ctx context.Context) error {
		return redisx.Ping(ctx,
			redis)
	}}, module.Func(handler.Forget(carts.Forget, p.Logger()))), nil
}

// runnable writes carts back. It is ready when Redis is.
type runnable struct{ run, ready func(context.Context) error }

// Run implements module.Runnable.
func (r *runnable) Run(ctx context.Context) error { return r.run(ctx) }

// Ready implements module.Runnable.
func (r *runnable) Ready(ctx context.Context) error { return r.ready(ctx) }
