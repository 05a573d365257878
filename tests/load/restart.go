package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// restartAll replaces the process of every service while visitors are there, as a Deployment does: one more process
// joins, and only when it is ready is the old one stopped by SIGTERM. souk dev starts the stopped one again, and then the
// one that joined is stopped. So each service is restarted twice. No services: all of them.
func (p *phases) restartAll(ctx context.Context, services []string) error {
	children, err := p.souk.children(ctx)
	if err != nil {
		return err
	}
	for _, c := range children {
		if len(services) > 0 && !slices.Contains(services, c.Name) {
			continue
		}
		began := time.Now()
		if err := p.souk.restart(ctx, p.client.gateways, c); err != nil {
			return fmt.Errorf("restart %s: %w", c.Name, err)
		}
		p.report.step("%s was restarted twice, within %.1f s", c.Name, time.Since(began).Seconds())
		if !wait(ctx, p.pause) {
			return ctx.Err()
		}
	}
	return nil
}

func (s *souk) restart(ctx context.Context, g *gateways, old child) error {
	if err := s.join(ctx, old.Name); err != nil {
		return err
	}
	if old.Name == gatewayService {
		g.add(s.more[old.Name].url)
		if !wait(ctx, 2*probeInterval) { // it gets requests now
			return ctx.Err()
		}
	}
	if err := syscall.Kill(old.PID, syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.awaitNext(ctx, old); err != nil {
		return err
	}
	if old.Name == gatewayService {
		if !wait(ctx, 2*probeInterval) {
			return ctx.Err()
		}
		defer g.remove(s.more[old.Name].url)
	}
	return s.leave(old.Name)
}

// awaitNext waits until souk dev has started a stopped process again and it is ready.
func (s *souk) awaitNext(ctx context.Context, old child) error {
	for began := time.Now(); time.Since(began) < startTimeout; {
		children, err := s.children(ctx)
		if err != nil {
			return err
		}
		for _, c := range children {
			if c.Name == old.Name && c.PID != old.PID && isReady(ctx, http.DefaultClient, "http://"+c.Admin) {
				return nil
			}
		}
		if !wait(ctx, readyInterval) {
			return ctx.Err()
		}
	}
	return errors.New("its next process is not ready")
}
