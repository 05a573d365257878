package shop

import (
	"context"
	"embed"
	"time"

	"souk/apps/shop/internal/shop"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/personal"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the shop service.
var Module = module.Module{
	Name:       "shop",
	Config:     func() any { return new(Default()) },
	Redis:      func(any) bool { return true },
	Migrations: migrations,
	States:     shop.States,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

// deleteBatch is the most invitations that one transaction deletes.
const deleteBatch = 1000

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
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
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	settings, err := p.Settings(cfg.settings())
	if err != nil {
		return nil, err
	}
	cipher := personal.New(keyringv1.NewKeyringServiceClient(conn), p.Clock())
	store := shop.NewStore(pool, redis, cipher, relay.Wake, setting.Derive(settings, limits).Load, p.Logger())
	wake := chore.NewWake()
	uses := shop.NewUses(wake.Now)
	shopv1.RegisterShopServiceServer(p.Server(), shop.NewRPC(store, userv1.NewUserServiceClient(conn), uses, p.Clock()))
	old := chore.Chore{
		Name: "delete ended invitations", Every: time.Hour, Batch: deleteBatch, Clock: p.Clock(), Logger: p.Logger(),
		Pass: func(ctx context.Context, now time.Time) (int, error) {
			return store.DeleteInvitations(ctx, now, deleteBatch)
		},
	}
	used := chore.Chore{
		Name: "note when API keys were used", Every: time.Minute, Wake: wake, Clock: p.Clock(), Logger: p.Logger(),
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			last := uses.Take()
			if len(last) == 0 {
				return 0, nil
			}
			return len(last), store.UseKeys(ctx, last)
		},
	}
	encrypt := chore.Chore{
		Name: "encrypt invitations", Pass: store.EncryptPlain, Every: time.Minute, Batch: shop.EncryptBatch,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	return module.Group(
		settings, relay, module.Func(old.Run), module.Func(used.Run), module.Func(encrypt.Run),
	), nil
}
