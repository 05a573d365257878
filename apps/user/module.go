package user

import (
	"context"

	"souk/apps/user/internal/user"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/module"
)

// Module is the user service. It has no settings of its own.
var Module = module.Module{Name: "user", Documents: true, Tables: module.Tables{Outbox: true}, Build: build}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	documents, err := p.Documents(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	store, err := user.NewStore(ctx, documents, relay.Wake)
	if err != nil {
		return nil, err
	}
	userv1.RegisterUserServiceServer(p.Server(), user.NewRPC(store, p.Clock()))
	return relay, nil
}
