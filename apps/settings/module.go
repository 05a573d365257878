package settings

import (
	"context"
	_ "embed"
	"time"

	"souk/apps/settings/internal/settings"
	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/chore"
	"souk/pkg/flag"
	"souk/pkg/module"
)

//go:embed db/invariants.sql
var invariants string

// Module is the settings service. It has no configuration of its own.
var Module = module.Module{
	Name:           "settings",
	Documents:      true,
	Tables:         module.Tables{Outbox: true},
	LateInvariants: map[string]string{"doc_flags": invariants}, // the last table that NewStore creates of these
	Build:          build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	documents, err := p.Documents(ctx)
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	client, err := p.Settings(nil)
	if err != nil {
		return nil, err
	}
	features, err := flag.NewClient(ctx, client.Flags)
	if err != nil {
		return nil, err
	}
	store, err := settings.NewStore(ctx, documents, relay.Wake)
	if err != nil {
		return nil, err
	}
	settingsv1.RegisterSettingsServiceServer(p.Server(), settings.NewRPC(settings.Deps{
		Store: store, Client: client, Features: features, Clock: p.Clock(), Logger: p.Logger(),
	}))
	old := chore.Chore{
		Name: "delete expired approvals", Every: time.Hour, Clock: p.Clock(), Logger: p.Logger(),
		Pass: store.DeleteApprovals,
	}
	return module.Group(relay, client, module.Func(old.Run)), nil
}
