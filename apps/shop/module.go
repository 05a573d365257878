package shop

import (
	"context"

	"souk/apps/shop/db"
	"souk/apps/shop/internal/shop"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/module"
)

// Module is the shop service.
var Module = module.Module{Name: "shop", Migrations: db.Migrations, Tables: module.Tables{Outbox: true}, Build: build}

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
	store := shop.OpenStore(pool, redis, relay.Wake, p.Logger())
	shopv1.RegisterShopServiceServer(p.Server(), shop.NewRPC(store, p.Clock()))
	return relay, nil
}
