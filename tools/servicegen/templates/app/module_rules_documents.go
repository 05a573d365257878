//go:build rules && documents

package sample

import (
	"context"

	"souk/pkg/module"
	"souk/tools/servicegen/templates/app/internal/handler"
	"souk/tools/servicegen/templates/app/internal/repository"
	"souk/tools/servicegen/templates/app/internal/service"
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
	store, err := repository.New(ctx, documents, relay.Wake)
	if err != nil {
		return nil, err
	}
	svc := service.New(service.Deps{Store: store, Clock: p.Clock(), ReadOnly: cfg.ReadOnly})
	samplev1.RegisterSampleServiceServer(p.Server(), handler.New(svc))
	return relay, nil
}
