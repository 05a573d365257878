package service

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"souk/apps/auth/internal/domain"
	"souk/pkg/errs"
)

// The kinds of failures. They are counted apart: a program with a wrong token keeps nobody at its address from signing
// in.
const (
	failedBearer  = "bearer"  // by address
	failedSignIn  = "sign-in" // by address
	failedAccount = "account" // by user
)

// Failures counts failed attempts.
type Failures interface {
	Wait(ctx context.Context, kind, who string) (time.Duration, error)
	Add(ctx context.Context, kind, who string) (time.Duration, error)
	Forget(ctx context.Context, kind, who string) error
}

// subscriberBits is the length of the IPv6 prefix of a subscriber, who owns all addresses in it.
const subscriberBits = 64

// network returns the part of an address by which failures are counted.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(subscriberBits)
	if err != nil {
		return address
	}
	return p.String()
}

func lockedOut(wait time.Duration) error {
	return errs.New(errs.LockedOut, "too many failed attempts: wait before the next one").
		WithRetryAfter(max(wait, time.Second))
}

// mayTry returns an error while attempts have to wait. If that is not known, they need not.
//
// Errors: locked_out.
func (s *Service) mayTry(ctx context.Context, kind, who string) error {
	wait, err := s.Failures.Wait(ctx, kind, who)
	if err != nil {
		s.Logger.Warn("failed attempts are not counted", zap.Error(err))
		return nil
	}
	if wait > 0 {
		return lockedOut(wait)
	}
	return nil
}

// failed counts an attempt that failed with err, and returns the error to answer with.
//
// Errors: err, locked_out.
func (s *Service) failed(ctx context.Context, kind, who string, err error) error {
	wait, counting := s.Failures.Add(ctx, kind, who)
	if counting != nil {
		s.Logger.Warn("failed attempts are not counted", zap.Error(counting))
		return err
	}
	if wait > 0 {
		s.Logger.Info("locked out", zap.String("kind", kind), zap.Duration("wait", wait))
		return lockedOut(wait)
	}
	return err
}

// BearerFrom is [Service.Bearer] for a token that came from an address. A wrong token counts for the address, and after
// some of them is answered with how long to wait. One that has merely expired does not: its client gets another. Right
// tokens are accepted whatever failed before.
//
// Errors: those of [Service.Bearer], locked_out.
func (s *Service) BearerFrom(ctx context.Context, token, address string) (domain.Actor, error) {
	actor, err := s.Bearer(ctx, token)
	if errs.Is(err, errs.Unauthenticated) && !errors.Is(err, domain.ErrExpired) {
		err = s.failed(ctx, failedBearer, network(address), err)
	}
	return actor, err
}

// CompleteLogin is the end of a sign-in: see [Service.complete]. After failures, further attempts from the address have
// to wait, and those of a user whom souk refuses.
//
// Errors: those of complete, locked_out.
func (s *Service) CompleteLogin(ctx context.Context, r Returned) (SignedIn, error) {
	from := network(r.Address)
	if err := s.mayTry(ctx, failedSignIn, from); err != nil {
		return SignedIn{}, err
	}
	in, err := s.complete(ctx, r)
	if errs.Is(err, errs.Unauthenticated) {
		err = s.failed(ctx, failedSignIn, from, err)
	}
	return in, err
}
