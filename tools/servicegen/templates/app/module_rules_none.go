//go:build rules && none

package sample

import (
	"context"

	"souk/pkg/module"
	"souk/tools/servicegen/templates/app/internal/handler"
	"souk/tools/servicegen/templates/app/internal/service"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

// Module is the sample service.
var Module = module.Module{
	Name:   "sample",
	Config: func() any { return new(Default()) },
	Build:  build,
}

func build(_ context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	samplev1.RegisterSampleServiceServer(p.Server(), handler.New(service.New(cfg.MaxParts)))
	return module.Group(), nil
}
