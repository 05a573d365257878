package natsauth

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"souk/gen/go/souk/services"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/outbox"
)

// Module is the natsauth service.
var Module = module.Module{
	Name:   "natsauth",
	Config: func() any { return &Config{} },
	NATS:   true,
	Build:  build,
}

func build(_ context.Context, p *module.Platform) (module.Runnable, error) {
	var cfg Config
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	keys, err := cfg.keys(p.Secret)
	if err != nil {
		return nil, err
	}
	nc, shared, err := p.AuthorityConn(natsauth.User, keys.Password)
	if err != nil {
		return nil, err
	}
	if shared && cfg.TrustDomain != "" {
		return nil, errors.New("natsauth.trust_domain: makes sense without nats.user and nats.credentials only")
	}
	certificates := natsauth.Certificates{Domain: cfg.TrustDomain}
	if certificates.Revoked, err = p.Revoked(); err != nil {
		return nil, err
	}
	if !shared {
		verifier, err := p.ConnectVerifier()
		if err != nil {
			return nil, err
		}
		if err := natsauth.Respond(nc, keys, verifier, certificates, p.Logger()); err != nil {
			return nil, err
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	var durables []outbox.Durable
	for _, s := range services.All() {
		for _, c := range s.Consumers {
			durables = append(durables, outbox.NewDurable(s.Name, c.Purpose, c.Subjects))
		}
	}
	provisioner := outbox.NewProvisioner(js, cfg.Streams, durables, p.Logger(), p.Metrics())
	if shared || cfg.TrustDomain == "" {
		return provisioner, nil
	}
	system, _, err := p.AuthorityConn(natsauth.SystemUser, keys.SystemPassword)
	if err != nil {
		return nil, err
	}
	return module.Group(provisioner, module.Func(func(ctx context.Context) error {
		natsauth.EndRevoked(ctx, system, certificates.Revoked, p.Logger())
		return nil
	})), nil
}
