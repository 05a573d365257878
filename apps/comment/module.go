package comment

import (
	"context"
	_ "embed"

	"souk/apps/comment/internal/comment"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/cqrs"
	"souk/pkg/event"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/setting"
)

//go:embed db/invariants.sql
var invariants string

// lastCollection is the table of the collection that the service creates last.
const lastCollection = "doc_ratings"

// Failpoints lists the places between two writes where tests stop the process.
func Failpoints() []string {
	return []string{comment.FailAfterRated, comment.FailAfterCounted, comment.FailAfterVote}
}

// Module is the comment service.
var Module = module.Module{
	Name:           "comment",
	Config:         func() any { return new(Default()) },
	Documents:      true,
	Projections:    []cqrs.Projection{ratings()},
	States:         states,
	Tables:         module.Tables{Outbox: true},
	LateInvariants: map[string]string{lastCollection: invariants},
	Build:          build,
}

func build(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := Default()
	if err := p.Config(&cfg); err != nil {
		return nil, err
	}
	settings, err := p.Settings(cfg.settings())
	if err != nil {
		return nil, err
	}
	documents, err := p.Documents(ctx)
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
	store, err := comment.NewStore(ctx, documents, p.Clock(), relay.Wake)
	if err != nil {
		return nil, err
	}
	commentv1.RegisterCommentServiceServer(p.Server(), comment.NewRPC(comment.Deps{
		Store:  store,
		Orders: orderv1.NewOrderServiceClient(conn),
		Shops:  shopv1.NewShopServiceClient(conn),
		Users:  userv1.NewUserServiceClient(conn),
		Rules:  setting.Derive(settings, rules).Load,
		Clock:  p.Clock(),
	}))
	reviews, err := p.Consumer(ctx, outbox.ConsumerOptions{
		Purpose: "reviews", Subjects: comment.ReviewSubjects, Handler: store.OnReview,
		Batch: 20, // the events' transaction waits for the writes of documents
	})
	if err != nil {
		return nil, err
	}
	return module.Group(settings, relay, reviews), nil
}

func ratings() cqrs.Projection {
	return cqrs.Projection{
		Name: "ratings", Shows: "what the reviews of a product add up to, and the votes for a review",
		Consumers: []string{"reviews"}, Unit: "ratings of products", Rows: rated,
		Rebuild: func(ctx context.Context, db cqrs.DB, _ cqrs.States) (int, error) { return rebuild(ctx, db, nil) },
	}
}

// rated returns the number of products with a rating.
func rated(ctx context.Context, db cqrs.DB) (int64, error) {
	store, err := comment.NewStore(ctx, db.Documents, clock.System{}, func() {})
	if err != nil {
		return 0, err
	}
	return store.Rated(ctx)
}

// states computes all ratings and numbers of votes from the reviews and votes, and publishes the ratings.
func states(db cqrs.DB) cqrs.States {
	return func(ctx context.Context, known []string, _ func(event.Event) error) (int, error) {
		return rebuild(ctx, db, known)
	}
}

func rebuild(ctx context.Context, db cqrs.DB, further []string) (int, error) {
	store, err := comment.NewStore(ctx, db.Documents, clock.System{}, func() {})
	if err != nil {
		return 0, err
	}
	return store.Rebuild(ctx, further)
}
