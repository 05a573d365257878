package audit

import (
	"context"
	"embed"

	"souk/apps/audit/internal/trail"
	auditv1 "souk/gen/go/souk/audit/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the audit service.
var Module = module.Module{
	Name:       "audit",
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
	key, err := cfg.SigningKey(p.Secret)
	if err != nil {
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
	store := trail.NewStore(pool)
	consumer, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "trail", Subjects: []string{"evt.audit.recorded.*"}, Handler: store.Record,
	})
	if err != nil {
		return nil, err
	}
	keeper, err := trail.NewKeeper(trail.KeeperOptions{
		Store: store, Key: key, File: cfg.CheckpointFile, Retain: cfg.Retain, Wake: relay.Wake,
		Logger: p.Logger(), Metrics: p.Metrics(),
	})
	if err != nil {
		return nil, err
	}
	auditv1.RegisterAuditServiceServer(p.Server(), trail.NewRPC(store))
	checkpoint := chore.Chore{
		Name: "sign the audit trail", Pass: keeper.Checkpoint, Every: cfg.CheckpointEvery,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	verify := chore.Chore{
		Name:   "verify the audit trail",
		Pass:   keeper.Verify,
		Every:  cfg.VerifyEvery,
		Clock:  p.Clock(),
		Logger: p.Logger(),
	}
	return module.Group(relay, consumer, module.Func(checkpoint.Run), module.Func(verify.Run)), nil
}
