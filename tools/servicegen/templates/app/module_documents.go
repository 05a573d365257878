//go:build !rules && documents

package sample

import (
	"context"

	"souk/pkg/module"
	"souk/tools/servicegen/templates/app/internal/sample"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// Module is the sample service.
var Module = module.Module{
	Name:      "sample",
	Config:    func() any { return new(Default()) },
	Documents: true,
	Tables:    module.Tables{Outbox: true},
	Build:     build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	documents, err := p.Documents(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	store, err := sample.NewStore(ctx, documents, relay.Wake)
	if err != nil {
		return nil, err
	}
	samplev1.RegisterSampleServiceServer(p.Server(), sample.NewRPC(store, p.Clock(), cfg.ReadOnly))
	return relay, nil
}
