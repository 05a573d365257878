package voucher

import (
	"context"
	"embed"

	"souk/apps/voucher/internal/handler"
	"souk/apps/voucher/internal/repository"
	"souk/apps/voucher/internal/service"
	shopv1 "souk/gen/go/souk/shop/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the voucher service.
var Module = module.Module{
	Name:       "voucher",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Invariants: invariants,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

// Failpoints lists the places of a redemption and of its release where tests stop the process.
func Failpoints() []string { return repository.Failpoints() }

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	pool, err := p.Postgres(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	relay, err := p.Relay(ctx)
	if err != nil {
		return nil, err
	}
	store := repository.New(pool, relay.Wake)
	svc := service.New(service.Deps{Store: store, Shops: shopv1.NewShopServiceClient(conn), Clock: p.Clock()})
	cancelled, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "orders", Subjects: handler.OrderSubjects, Done: relay.Wake,
		Handler: store.ReleaseOn(handler.CancelledOrder, service.Released),
	})
	if err != nil {
		return nil, err
	}
	voucherv1.RegisterVoucherServiceServer(p.Server(), handler.New(svc))
	forget := chore.Forget("forget released vouchers", cfg.ForgetReleasedAfter, store.ForgetReleased, p.Clock(),
		p.Logger())
	return module.Group(relay, cancelled, module.Func(forget.Run)), nil
}
