package user

import (
	"context"
	"time"

	"souk/apps/user/internal/user"
	authv1 "souk/gen/go/souk/auth/v1"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/chore"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/personal"
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
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	cipher := personal.New(keyringv1.NewKeyringServiceClient(conn), p.Clock())
	store, err := user.NewStore(ctx, documents, cipher, relay.Wake)
	if err != nil {
		return nil, err
	}
	auth := authv1.NewAuthServiceClient(conn)
	userv1.RegisterUserServiceServer(
		p.Server(),
		user.NewRPC(store, auth, orderv1.NewOrderServiceClient(conn), p.Clock()),
	)
	suspensions, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "suspensions", Subjects: user.SuspensionSubjects,
		Handler:    user.NewSuspensions(store, auth).On,
		MaxDeliver: user.SuspensionRetries, Backoff: user.SuspensionBackoff(),
		Batch: 1, // the event's transaction waits for auth
	})
	if err != nil {
		return nil, err
	}
	encrypt := chore.Chore{
		Name: "encrypt users", Pass: store.EncryptPlain, Every: time.Minute, Batch: 1, Clock: p.Clock(),
		Logger: p.Logger(),
	}
	return module.Group(relay, suspensions, module.Func(encrypt.Run)), nil
}
