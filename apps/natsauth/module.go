package natsauth

import (
	"context"

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
	if !shared {
		verifier, err := p.ConnectVerifier()
		if err != nil {
			return nil, err
		}
		if err := natsauth.Respond(nc, keys, verifier, p.Logger()); err != nil {
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
	return outbox.NewProvisioner(js, cfg.Streams, durables, p.Logger(), p.Metrics()), nil
}
