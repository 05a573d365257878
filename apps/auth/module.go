package auth

import (
	"context"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/handler"
	"souk/apps/auth/internal/provider"
	"souk/apps/auth/internal/repository"
	"souk/apps/auth/internal/service"
	authv1 "souk/gen/go/souk/auth/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/module"
)

// Module is the auth service.
var Module = module.Module{
	Name:   "auth",
	Config: func() any { return new(Default()) },
	Redis:  func(any) bool { return true },
	Build:  build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	redis, err := p.Redis(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	http, err := p.HTTPClient("oidc")
	if err != nil {
		return nil, err
	}
	sealer, err := credential.NewSealer(cfg.key(), p.Clock())
	if err != nil {
		return nil, err
	}
	guests, err := credential.NewGuests(cfg.key(), p.Clock())
	if err != nil {
		return nil, err
	}
	lockoutKey, err := credential.LockoutKey(cfg.key())
	if err != nil {
		return nil, err
	}
	sessions := repository.New(redis, p.Clock(), cfg.lifetimes(), cfg.Session.MaxPerUser)
	svc := service.New(service.Deps{
		Provider: provider.New(provider.Options{
			Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Audience: cfg.audience(),
			RolesClaim: cfg.RolesClaim, Scopes: cfg.Scopes, HTTP: http, Clock: p.Clock(), Logger: p.Logger(),
		}),
		Sessions:  sessions,
		Failures:  repository.NewFailures(redis, p.Clock(), lockoutKey, cfg.Lockout.After, cfg.Lockout.Longest),
		Sealer:    sealer,
		Guests:    guests,
		Users:     userv1.NewUserServiceClient(conn),
		Carts:     cartv1.NewCartServiceClient(conn),
		Shops:     shopv1.NewShopServiceClient(conn),
		Orders:    orderv1.NewOrderServiceClient(conn),
		Keyring:   keyringv1.NewKeyringServiceClient(conn),
		Lifetimes: cfg.lifetimes(), RecentSignIn: cfg.RecentSignIn,
		Clock:  p.Clock(),
		Logger: p.Logger(),
	})
	authv1.RegisterAuthServiceServer(p.Server(), handler.New(svc))
	return &runnable{sessions: sessions}, nil
}

// runnable has no work of its own: the service only answers calls.
type runnable struct{ sessions *repository.Sessions }

// Run waits until ctx ends.
func (*runnable) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Ready returns nil when sessions can be read. It does not ask the provider: the gateway's readiness must not
// depend on an outside party.
func (r *runnable) Ready(ctx context.Context) error { return r.sessions.Ping(ctx) }
