//go:build !rules && !documents && !none

package sample

import (
	"context"
	"embed"

	"souk/pkg/module"
	"souk/tools/servicegen/templates/app/internal/sample"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the sample service.
var Module = module.Module{
	Name:       "sample",
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
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	store := sample.NewStore(pool, relay.Wake)
	samplev1.RegisterSampleServiceServer(p.Server(), sample.NewRPC(store, p.Clock(), cfg.ReadOnly))
	return relay, nil
}
