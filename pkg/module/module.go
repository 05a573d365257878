// Package module composes souk's processes. A service is a [Module]; a process runs one or several modules.
//
// A module is wired in its Build function, from a [Platform] with the module's own logger, metrics, configuration and
// database. There is no self-registration and no global state. [Run] starts the modules in the given order (services
// first, the gateway last), and drains and stops them in reverse order.
package module

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"souk/pkg/cqrs"
	"souk/pkg/migration"
)

// Module is one service of souk.
type Module struct {
	// Name is the service's name, and the name of its configuration section, database, role and RPC target.
	Name string
	// Config returns a new configuration with the defaults, for [Platform.Config]; nil: the service has no settings.
	Config func() any
	// Redis reports whether the service needs Redis with this configuration; nil: it does not.
	Redis func(config any) bool
	// NATS is set if the service needs NATS although it has no outbox.
	NATS bool
	// Migrations are the service's own SQL migrations; nil means none.
	Migrations fs.FS
	// Embedded are the migrations of what the service embeds, such as a payment provider. They run before its own.
	Embedded []migration.Set
	// Invariants is a query of the service's own database for souk verify, with one row for each check: see [Finding].
	// "" means none.
	Invariants string
	// LateInvariants are further ones, by the schema or table without which they are not checked. The service creates
	// it when it starts, not by its migrations.
	LateInvariants map[string]string
	// Documents is set if the service keeps documents: see [Platform.Documents]. Its LateInvariants are then those of
	// documents in PostgreSQL.
	Documents bool
	// Projections are the service's read models.
	Projections []cqrs.Projection
	// States returns what the service's aggregates are now, for the rebuild of other services' projections; nil: no
	// projection has the service as its source.
	States func(cqrs.DB) cqrs.States
	// Tables selects the shared tables that the service needs in addition to its own.
	Tables Tables
	// Scans is set if the service's statements read whole tables on purpose, as a search does. See
	// [postgres.Config.ByKey].
	Scans bool
	// Build wires the service. It registers the RPC server with Platform.Server and returns the background work:
	// relays, consumers, jobs.
	Build func(context.Context, *Platform) (Runnable, error)
}

// Tables selects the shared tables of a service's database.
type Tables struct {
	// Outbox adds the tables for publishing and consuming events (outbox and inbox).
	Outbox bool
	// Saga adds the tables for running sagas.
	Saga bool
	// Jobs adds River's tables for background jobs.
	Jobs bool
}

// Runnable runs as long as its process.
type Runnable interface {
	// Run serves until ctx ends, then drains and returns. An error stops the process.
	Run(ctx context.Context) error
	// Ready returns nil if the Runnable can take traffic.
	Ready(ctx context.Context) error
}

// Stopper is a Runnable that may need more time to stop than others.
type Stopper interface {
	// StopTimeout is the longest time that Run may take after its context has ended.
	StopTimeout() time.Duration
}

// Group returns a Runnable that runs all parts. The first failure ends all of them.
func Group(parts ...Runnable) Runnable { return group(parts) }

type group []Runnable

func (g group) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errc := make(chan error, len(g))
	var wg sync.WaitGroup
	for _, r := range g {
		wg.Go(func() {
			if err := r.Run(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
				errc <- err
				cancel()
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	close(errc)
	return <-errc
}

func (g group) Ready(ctx context.Context) error {
	for _, r := range g {
		if err := r.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Func returns a Runnable that calls run and is always ready.
func Func(run func(context.Context) error) Runnable { return runFunc(run) }

type runFunc func(context.Context) error

func (f runFunc) Run(ctx context.Context) error { return f(ctx) }
func (f runFunc) Ready(context.Context) error   { return nil }
