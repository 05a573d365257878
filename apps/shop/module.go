package shop

import (
	"context"
	"embed"

	"souk/apps/shop/internal/shop"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/module"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the shop service.
var Module = module.Module{
	Name:       "shop",
	Redis:      func(any) bool { return true },
	Migrations: migrations,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	redis, err := p.Redis(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	store := shop.NewStore(pool, redis, relay.Wake, p.Logger())
	shopv1.RegisterShopServiceServer(p.Server(), shop.NewRPC(store, p.Clock()))
	return relay, nil
}
