package notification

import (
	"context"
	"embed"
	"net/mail"
	"time"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/handler"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/chore"
	"souk/pkg/jobs"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/personal"
	"souk/pkg/setting"
)

//go:embed db/migrations/*.sql
var migrations embed.FS

//go:embed db/invariants.sql
var invariants string

// Module is the notification service.
var Module = module.Module{
	Name:       "notification",
	Config:     func() any { return new(Default()) },
	Migrations: migrations,
	Invariants: invariants,
	Tables:     module.Tables{Outbox: true, Jobs: true},
	Build:      build,
}

// Failpoints lists the points at which tests stop the process.
func Failpoints() []string { return []string{service.FailAfterSend} }

const (
	// keepNotifications is how long an inbox keeps a notification.
	keepNotifications = 90 * 24 * time.Hour
	// keepNotices is how long the log of deliveries is kept. It must exceed the retention of events, or a replayed one
	// would have its effect twice.
	keepNotices = 180 * 24 * time.Hour
)

const (
	// rescueGrace is how long after its timeout a job counts as one of a process that died.
	rescueGrace = 5 * time.Second
	// ahead is the number of deliveries that are written per mail that can be sent at the same time.
	ahead = 16
	// cooldown is the shortest time between two looks for deliveries: each look takes no more than are worked on at the
	// same time.
	cooldown = 5 * time.Millisecond
)

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, err
	}
	renderer, err := service.NewRenderer(cfg.PublicURL)
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
	settings, err := p.Settings(cfg.settings())
	if err != nil {
		return nil, err
	}
	perHour := setting.Derive(settings, setting.NotificationMaxPerHour.Of).Load
	cipher := personal.New(keyringv1.NewKeyringServiceClient(conn), p.Clock())
	store := repository.New(pool, cipher, perHour, relay.Wake)
	links := service.NewLinks(store, cfg.PublicURL)
	mailboxes := service.NewMailboxes(store)
	post := &repository.SMTP{
		Addr:     cfg.SMTPAddr,
		TLS:      cfg.TLS,
		Username: cfg.Username,
		Password: cfg.Password,
		FromName: from.Name,
		From:     from.Address,
	}
	providers, err := providersOf(ctx, p, cfg)
	if err != nil {
		return nil, err
	}
	providers[domain.Email] = post
	svc, err := service.New(service.Deps{
		Store:     store,
		Reviews:   commentv1.NewCommentServiceClient(conn),
		Vouchers:  voucherv1.NewVoucherServiceClient(conn),
		Carts:     cartv1.NewCartServiceClient(conn),
		Orders:    orderv1.NewOrderServiceClient(conn),
		Users:     userv1.NewUserServiceClient(conn),
		Shops:     shopv1.NewShopServiceClient(conn),
		Providers: providers,
		Renderer:  renderer,
		Links:     links,
		Mailboxes: mailboxes,
		Logger:    p.Logger(),

		Templates: store,
		Clock:     p.Clock(),
		Tracer:    p.Tracer(),
		Metrics:   p.Metrics(),
		Timeout:   cfg.Timeout,
		GiveUp:    cfg.GiveUp,

		Concurrency: cfg.Concurrency,
	})
	if err != nil {
		return nil, err
	}
	runner, err := jobs.New(pool, jobs.Options{
		Workers: repository.Workers(p.Clock(), svc.Notify, svc.Deliver),
		Queues: map[string]int{
			repository.QueueNotice: ahead * cfg.Concurrency, string(domain.Email): ahead * cfg.Concurrency,
			string(domain.Inbox): cfg.Concurrency, string(domain.SMS): cfg.Concurrency,
			string(domain.Push): cfg.Concurrency,
		},
		Retention:   retention(store),
		Timeout:     service.JobTimeout(cfg.Timeout),
		RescueAfter: service.JobTimeout(cfg.Timeout) + rescueGrace,
		Cooldown:    cooldown,
		Clock:       p.Clock(),
		Logger:      p.Logger(),
		Metrics:     p.Metrics(),
	})
	if err != nil {
		return nil, err
	}
	read := handler.Reader{
		Clock: p.Clock(), Hold: setting.Derive(settings, setting.NotificationHold.Of).Load, GiveUp: cfg.GiveUp,
	}.Read
	orders, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "orders", Subjects: handler.OrderSubjects, Queue: store.Consume(read),
	})
	if err != nil {
		return nil, err
	}
	shops, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "shops", Subjects: handler.ShopSubjects, Queue: store.Consume(read),
	})
	if err != nil {
		return nil, err
	}
	customers, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "customers", Subjects: handler.CustomerSubjects, Queue: store.Consume(read),
	})
	if err != nil {
		return nil, err
	}
	erased, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "erase", Subjects: []string{"evt.user.erased"}, Handler: store.Erased,
	})
	if err != nil {
		return nil, err
	}
	encrypt := chore.Chore{
		Name: "encrypt devices", Pass: store.EncryptPlain, Every: time.Minute, Batch: repository.EncryptBatch,
		Clock: p.Clock(), Logger: p.Logger(),
	}
	notificationv1.RegisterNotificationServiceServer(p.Server(), handler.New(handler.Deps{
		Inbox: store, Preferences: store, Links: links, Templates: svc, Devices: store,
		Suppressions: store, Mailboxes: mailboxes,
		VAPIDPublic: cfg.Push.VAPIDPublic, Clock: p.Clock(),
	}))
	send := module.Func(func(ctx context.Context) error {
		defer post.Close()
		return runner.Run(ctx)
	})
	return module.Group(settings, relay, orders, shops, customers, erased, module.Func(encrypt.Run), send), nil
}

func retention(s *repository.Store) []jobs.Retention {
	return []jobs.Retention{
		{Name: "forget_recipients", Queue: repository.QueueNotice, Keep: time.Hour, Forget: s.ForgetRecipients},
		{
			Name: "forget_notifications", Queue: repository.QueueNotice, Keep: keepNotifications,
			Forget: s.ForgetNotifications,
		},
		{Name: "forget_suppressions", Queue: repository.QueueNotice, Forget: s.ForgetSuppressions},
		{Name: "forget_notices", Queue: repository.QueueNotice, Keep: keepNotices, Forget: s.ForgetNotices},
	}
}
