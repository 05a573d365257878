package order

import (
	"context"
	"embed"
	"slices"
	"time"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/handler"
	"souk/apps/order/internal/repository"
	"souk/apps/order/internal/service"
	addressv1 "souk/gen/go/souk/address/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/chore"
	"souk/pkg/cqrs"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/personal"
	"souk/pkg/saga"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Sales is the projection of shops' sales by day, and the purpose of its consumer.
const Sales = "sales"

// Module is the order service.
var Module = module.Module{
	Name:       "order",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Invariants: invariants,
	Projections: []cqrs.Projection{{
		Name: Sales, Shows: "what each shop sold on each day, and what was cancelled",
		Consumers: []string{Sales}, Unit: "orders", Rows: cqrs.Count("sales_day"),
		Rebuild: func(ctx context.Context, db cqrs.DB, _ cqrs.States) (int, error) {
			return repository.New(db.Pool, nil, func() {}).RebuildSales(ctx)
		},
	}},
	Tables: module.Tables{Outbox: true, Saga: true},
	Build:  build,
}

// Failpoints lists the failpoints of the sagas, in the order in which each saga reaches them.
func Failpoints() []string {
	var out []string
	for _, d := range (&service.Sagas{Store: &repository.Store{}}).Definitions() {
		for _, point := range saga.Failpoints(d) {
			if !slices.Contains(out, point) { // versions of a saga share failpoints
				out = append(out, point)
			}
		}
	}
	return slices.Clip(out)
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	rates, err := amounts("shipping", cfg.Shipping)
	if err != nil {
		return nil, err
	}
	configured, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	settings, err := p.Settings(configured)
	if err != nil {
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
	cipher := personal.New(keyringv1.NewKeyringServiceClient(conn), p.Clock())
	store := repository.New(pool, cipher, relay.Wake)
	products, carts := productv1.NewProductServiceClient(conn), cartv1.NewCartServiceClient(conn)
	payments, vouchers := paymentv1.NewPaymentServiceClient(conn), voucherv1.NewVoucherServiceClient(conn)
	sagas := &service.Sagas{
		Store:            store,
		Products:         products,
		Payments:         payments,
		Carts:            carts,
		Vouchers:         vouchers,
		Cipher:           cipher,
		Clock:            p.Clock(),
		Logger:           p.Logger(),
		Deadline:         cfg.Deadline,
		ReserveFor:       cfg.ReserveFor,
		AuthorizeTimeout: cfg.AuthorizeTimeout,
	}
	runner, err := saga.NewRunner(pool, saga.Options{
		Definitions: sagas.Definitions(),
		Clock:       p.Clock(),
		Logger:      p.Logger(),
		Metrics:     p.Metrics(),
		Tracer:      p.Tracer(),
	})
	if err != nil {
		return nil, err
	}
	consumer, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "payments", Subjects: handler.PaymentSubjects, Queue: store.PaymentEvents(handler.PaymentUpdate),
	})
	if err != nil {
		return nil, err
	}
	sales, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "sales", Subjects: handler.SalesSubjects, Queue: store.CountSales,
	})
	if err != nil {
		return nil, err
	}
	svc := service.New(service.Deps{
		Store:         repository.WithSagas(store, runner),
		Runner:        runner,
		Products:      products,
		Carts:         carts,
		Payments:      payments,
		Shops:         shopv1.NewShopServiceClient(conn),
		Users:         userv1.NewUserServiceClient(conn),
		Addresses:     addressv1.NewAddressServiceClient(conn),
		Vouchers:      vouchers,
		Cipher:        cipher,
		Clock:         p.Clock(),
		Logger:        p.Logger(),
		ShippingRates: rates,
		Limits:        setting.Derive(settings, limits).Load,
	})
	server, err := handler.New(svc, p.Metrics())
	if err != nil {
		return nil, err
	}
	orderv1.RegisterOrderServiceServer(p.Server(), server)
	forget := module.Func(
		chore.Forget("forget refused checkouts", cfg.ForgetRefusedAfter, store.ForgetRefused, p.Clock(),
			p.Logger()).Run,
	)
	forgetCancels := module.Func(
		chore.Forget("forget cancellations of guests", domain.CancelPeriod, store.ForgetGuestCancels, p.Clock(),
			p.Logger()).Run,
	)
	expire := module.Func(handler.Expire(store, svc.Expire, p.Clock(), p.Logger()))
	encrypt := chore.Chore{
		Name: "encrypt orders", Pass: store.EncryptPlain, Every: time.Minute, Batch: repository.EncryptBatch,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	return module.Group(
		settings, relay, runner, consumer, sales, forget, forgetCancels, expire, module.Func(encrypt.Run),
	), nil
}
