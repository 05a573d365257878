package gateway

import (
	"context"
	"fmt"
	"sync"

	"souk/gen/go/souk/services"
)

// backends are the services behind the gateway's routes.
type backends struct {
	reach func(ctx context.Context, service string) error
	names []string

	mu      sync.Mutex
	missing []string // not reached yet
}

// newBackends returns the services that have routes.
func newBackends(reach func(ctx context.Context, service string) error) *backends {
	b := &backends{reach: reach}
	for _, s := range services.All() {
		if s.RegisterREST != nil {
			b.names = append(b.names, s.Name)
		}
	}
	b.missing = b.names
	return b
}

// check returns nil once every service has been reached. After that it needs only one of them: while a service
// restarts, the gateway still serves the others and cached answers, and must stay behind its load balancer.
func (b *backends) check(ctx context.Context) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.missing) == 0 {
		for _, name := range b.names {
			if err = b.reach(ctx, name); err == nil {
				return nil
			}
		}
		return err
	}
	for len(b.missing) > 0 {
		if err := b.reach(ctx, b.missing[0]); err != nil {
			return fmt.Errorf("%s is not reached yet: %w", b.missing[0], err)
		}
		b.missing = b.missing[1:]
	}
	return nil
}
