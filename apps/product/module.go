package product

import (
	"context"
	"embed"

	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/repository"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Failpoints lists the places between two writes where tests stop the process.
func Failpoints() []string { return repository.Failpoints() }

// Module is the product service.
var Module = module.Module{
	Name:        "product",
	Config:      func() any { return new(Default()) },
	Redis:       func(config any) bool { return config.(*Config).CacheTTL > 0 }, // for the cache
	Migrations:  migrations,
	Invariants:  invariants,
	Projections: projections(),
	Tables:      module.Tables{Outbox: true},
	Scans:       true, // the search
	Build:       build,
}

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
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	configured := setting.Values{}
	setting.ProductUnverifiedShopsSell.Put(configured, cfg.UnverifiedShopsSell)
	settings, err := p.Settings(configured)
	if err != nil {
		return nil, err
	}
	unverifiedSell := setting.Derive(settings, setting.ProductUnverifiedShopsSell.Of)
	relist, learn := chore.NewWake(), chore.NewWake()
	settings.OnChange(relist.Now)
	opts := repository.Options{
		Clock: p.Clock(), LowStock: cfg.LowStock, UnverifiedSell: unverifiedSell.Load,
		Wake: relay.Wake, Learn: learn.Now,
	}
	if opts.Replica, err = p.Replica(ctx); err != nil {
		return nil, err
	}
	var lists *handler.Lists
	if cfg.CacheTTL > 0 {
		redis, err := p.Redis(ctx)
		if err != nil {
			return nil, err
		}
		values, err := p.Cache(ctx)
		if err != nil {
			return nil, err
		}
		opts.Cache, err = repository.NewCache(redis, values, cfg.CacheTTL, repository.ReadFromPrimary(opts.Replica),
			p.Logger(), p.Metrics())
		if err != nil {
			return nil, err
		}
		if cfg.SearchCacheTTL > 0 {
			lists = handler.NewLists(opts.Cache, cfg.SearchCacheTTL, p.Clock())
		}
	}
	store := repository.New(pool, opts)
	products := service.New(store, shopv1.NewShopServiceClient(conn), cfg.ReservationTTL)
	server, err := handler.New(products, lists, p.Metrics())
	if err != nil {
		return nil, err
	}
	productv1.RegisterProductServiceServer(p.Server(), server)
	shops, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "shops", Subjects: handler.ShopSubjects, Handler: handler.OnShop(store), Done: relist.Now,
	})
	if err != nil {
		return nil, err
	}
	ratings, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "ratings", Subjects: handler.RatingSubjects, Handler: handler.OnRating(store), Done: store.DropRated,
	})
	if err != nil {
		return nil, err
	}
	return module.Group(
		settings, relay, shops, ratings,
		module.Func(handler.Relist(store, func() (sell, known bool) {
			return unverifiedSell.Load(), settings.Loaded()
		}, relist, p.Logger())),
		module.Func(handler.Sweep(store.Sweep, cfg.SweepInterval, p.Logger())),
		module.Func(handler.LearnWords(store.LearnWords, cfg.WordsInterval, learn, p.Logger())),
		module.Func(handler.Forget(store.Forget, cfg.KeepReservations, p.Clock(), p.Logger())),
		module.Func(func(ctx context.Context) error {
			<-ctx.Done()
			store.Close()
			return nil
		}),
	), nil
}
