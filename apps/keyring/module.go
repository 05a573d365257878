package keyring

import (
	"context"
	"embed"

	"souk/apps/keyring/internal/keyring"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/secrets"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the keyring service.
var Module = module.Module{
	Name:       "keyring",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	wrap, err := wrapping(cfg)
	if err != nil {
		return nil, err
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	store := keyring.NewStore(pool, wrap)
	rewrap, err := keyring.NewRewrap(store, p.Logger(), p.Metrics())
	if err != nil {
		return nil, err
	}
	consumer, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "erase", Subjects: []string{"evt.user.erased", "evt.order.guest_erased"}, Handler: store.Erased,
	})
	if err != nil {
		return nil, err
	}
	keyringv1.RegisterKeyringServiceServer(p.Server(), keyring.NewRPC(store, p.Clock()))
	pass := chore.Chore{
		Name: "wrap keys again", Pass: rewrap.Pass, Every: cfg.RewrapEvery,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	return module.Group(consumer, module.Func(pass.Run)), nil
}

// wrapping returns the wrapping keys. They are made again when the secrets change.
func wrapping(cfg Config) (func() keyring.Wrapping, error) {
	derive := func(text string) (*keyring.WrappingKey, error) {
		if text == "" {
			return nil, nil //nolint:nilnil // there is no former key
		}
		key, err := decodeKey(text)
		if err != nil {
			return nil, err
		}
		return keyring.NewWrappingKey(key)
	}
	now, err := secrets.Derive(cfg.Key, derive)
	if err != nil {
		return nil, err
	}
	former, err := secrets.Derive(cfg.FormerKey, derive)
	if err != nil {
		return nil, err
	}
	return func() keyring.Wrapping { return keyring.Wrapping{Now: now.Get(), Former: former.Get()} }, nil
}
