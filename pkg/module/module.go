// Package module composes souk's processes: a service is a Module, a process runs one or many of them.
//
// A Module is wired in one place, its Build function, from a Platform that is scoped to it: its own
// logger, metrics, configuration and database. Nothing registers itself, nothing is global. Run
// starts what it is given (services first, the gateway last) and stops it in reverse, draining.
package module

import (
	"context"
	"errors"
	"io/fs"
	"sync"
)

// Module is one service of souk.
type Module struct {
	// Name is the service's name: its configuration section, database, role and RPC target.
	Name string
	// Migrations are the service's own SQL migrations; nil when it has no SQL.
	Migrations fs.FS
	// Tables names the shared tables that the service needs besides its own.
	Tables Tables
	// Scans says that its statements read whole tables on purpose, as a search does: see [postgres.Config.ByKey].
	Scans bool
	// Build wires the service. It registers the RPC server on Platform.Server and returns what runs
	// beside it: relays, consumers, jobs.
	Build func(context.Context, *Platform) (Runnable, error)
}

// Tables says which shared tables a service's database holds.
type Tables struct {
	// Outbox: it publishes or consumes events (outbox and inbox).
	Outbox bool
	// Saga: it runs sagas.
	Saga bool
}

// Runnable is something that runs as long as its process.
type Runnable interface {
	// Run serves until ctx ends, drains and returns. An error stops the process.
	Run(ctx context.Context) error
	// Ready returns nil when it can take traffic.
	Ready(ctx context.Context) error
}

// Group returns a Runnable that runs all parts; the first that fails ends all.
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

// Func makes a Runnable of a function that is ready as soon as it runs.
func Func(run func(context.Context) error) Runnable { return runFunc(run) }

type runFunc func(context.Context) error

func (f runFunc) Run(ctx context.Context) error { return f(ctx) }
func (f runFunc) Ready(context.Context) error   { return nil }
