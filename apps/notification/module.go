package notification

import (
	"context"
	"embed"
	"net/mail"

	"souk/apps/notification/internal/handler"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/module"
	"souk/pkg/outbox"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

// Module is the notification service.
var Module = module.Module{
	Name:       "notification",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Tables:     module.Tables{Outbox: true},
	Build:      build,
}

// Failpoints lists the points at which tests stop the process.
func Failpoints() []string { return []string{service.FailAfterSend} }

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, err
	}
	renderer, err := service.NewRenderer(from, cfg.PublicURL)
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
	store := repository.New(pool, relay.Wake)
	post := &repository.SMTP{
		Addr:     cfg.SMTPAddr,
		TLS:      cfg.TLS,
		Username: cfg.Username,
		Password: cfg.Password,
		From:     from.Address,
	}
	sender, err := service.New(service.Deps{
		Mails: store, Orders: orderv1.NewOrderServiceClient(conn), Users: userv1.NewUserServiceClient(conn),
		Post: post, Renderer: renderer, Clock: p.Clock(), Logger: p.Logger(), Tracer: p.Tracer(), Metrics: p.Metrics(),
		Timeout: cfg.Timeout, Concurrency: cfg.Concurrency, GiveUp: cfg.GiveUp,
	})
	if err != nil {
		return nil, err
	}
	consumer, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "orders", Subjects: handler.Subjects, Queue: store.Consume(handler.Read(p.Clock())), Done: sender.Wake,
	})
	if err != nil {
		return nil, err
	}
	return module.Group(relay, consumer, module.Func(func(ctx context.Context) error {
		defer post.Close()
		return sender.Run(ctx)
	})), nil
}
