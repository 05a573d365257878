package address

import (
	"context"
	"embed"
	"time"

	"souk/apps/address/internal/address"
	addressv1 "souk/gen/go/souk/address/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/personal"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the address service. It has no settings of its own.
var Module = module.Module{
	Name:       "address",
	Migrations: migrations,
	Invariants: invariants,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	store := address.NewStore(pool, personal.New(keyringv1.NewKeyringServiceClient(conn), p.Clock()))
	erased, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "erase", Subjects: []string{"evt.user.erased"}, Handler: store.Erased,
	})
	if err != nil {
		return nil, err
	}
	encrypt := chore.Chore{
		Name: "encrypt addresses", Pass: store.EncryptPlain, Every: time.Minute, Batch: address.EncryptBatch,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	addressv1.RegisterAddressServiceServer(p.Server(), address.NewRPC(store, p.Clock()))
	return module.Group(erased, module.Func(encrypt.Run)), nil
}
