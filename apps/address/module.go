package address

import (
	"context"
	"embed"

	"souk/apps/address/internal/address"
	addressv1 "souk/gen/go/souk/address/v1"
	"souk/pkg/module"
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
	Build:      build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	addressv1.RegisterAddressServiceServer(p.Server(), address.NewRPC(address.NewStore(pool), p.Clock()))
	return module.Group(), nil
}
