package rpc

import (
	"context"
	"fmt"
	"slices"
	"time"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/permission"
)

// checkOption validates a method's access option.
func checkOption(m Method) error {
	switch level := m.Access.GetLevel(); {
	case level == optionsv1.Level_LEVEL_UNSPECIFIED:
		return fmt.Errorf("%s has no option (souk.options.v1.access): say who may call it", m.FullMethod)
	case asks(level) && m.Access.GetPermission() == "":
		return fmt.Errorf("%s asks for a permission and names none", m.FullMethod)
	case m.Access.GetPermission() != "" && !permission.Known(m.Access.GetPermission()):
		return fmt.Errorf("%s asks for an unknown permission %q: package permission lists them", m.FullMethod,
			m.Access.GetPermission())
	case m.Access.GetRecentSignIn() && level != optionsv1.Level_LEVEL_SIGNED_IN && !asks(level):
		return fmt.Errorf("%s asks for a recent sign-in, and not for a user", m.FullMethod)
	case optionsv1.Level_name[int32(level)] == "":
		return fmt.Errorf("%s has an unknown access level %d", m.FullMethod, level)
	}
	return nil
}

// asks reports whether methods of the level ask for a permission.
func asks(level optionsv1.Level) bool {
	return level == optionsv1.Level_LEVEL_PERMISSION || level == optionsv1.Level_LEVEL_SHOP_PERMISSION
}

// Permission returns the permission that the contract of the method names that is being served; "": none.
func Permission(ctx context.Context) string { return callFrom(ctx).permission }

// Permitted reports whether the caller has the permission of the method that is being served in the whole marketplace.
// It is false for a method without one.
func Permitted(ctx context.Context) bool {
	name := Permission(ctx)
	return name != "" && identity.FromContext(ctx).Can(name)
}

// Admit returns nil if the actor may call a method with the access option at the time now. A [Server] checks this itself;
// a gateway may check it earlier.
//
// Errors: unauthenticated, forbidden, sign_in_again.
func Admit(access *optionsv1.Access, a identity.Actor, now time.Time) error {
	err := admit(access, a)
	if err != nil || !access.GetRecentSignIn() {
		return err
	}
	return recent(a, now)
}

// RequireRecentSignIn returns nil if the caller has signed in a short time ago. It is for methods that need it of some
// callers only; of all, it is said in the contract.
//
// Errors: forbidden (the caller is no user), sign_in_again.
func RequireRecentSignIn(ctx context.Context, now time.Time) error {
	return recent(identity.FromContext(ctx), now)
}

func recent(a identity.Actor, now time.Time) error {
	if now.Before(a.RecentUntil) {
		return nil
	}
	if !a.IsUser() {
		return errs.New(errs.Forbidden, "only a person who has signed in may do that")
	}
	return errs.New(errs.SignInAgain, "this needs a recent sign-in: sign in again")
}

func admit(access *optionsv1.Access, a identity.Actor) error {
	switch access.GetLevel() {
	case optionsv1.Level_LEVEL_PUBLIC:
		return nil
	case optionsv1.Level_LEVEL_GUEST:
		if a.IsGuest() || a.IsUser() {
			return nil
		}
	case optionsv1.Level_LEVEL_SIGNED_IN:
		if a.IsUser() {
			return nil
		}
		if a.IsGuest() {
			return errs.New(errs.Unauthenticated, "sign in first")
		}
	case optionsv1.Level_LEVEL_PERMISSION:
		if a.Can(access.GetPermission()) {
			return nil
		}
		if a.IsGuest() {
			return errs.New(errs.Unauthenticated, "sign in first")
		}
	case optionsv1.Level_LEVEL_SHOP_PERMISSION: // of a user, package membership decides
		if a.IsUser() || a.KeyCan(access.GetPermission()) {
			return nil
		}
		if a.IsGuest() {
			return errs.New(errs.Unauthenticated, "sign in first")
		}
	case optionsv1.Level_LEVEL_INTERNAL:
		if a.IsService() && (len(access.GetServices()) == 0 || slices.Contains(access.GetServices(), a.ID)) {
			return nil
		}
	}
	if a.Kind == identity.KindAnonymous {
		return errs.New(errs.Unauthenticated, "sign in first")
	}
	if asks(access.GetLevel()) {
		return errs.New(errs.Forbidden, "this needs the permission %s", access.GetPermission())
	}
	return errs.New(errs.Forbidden, "you may not do that")
}

// authenticate returns the actor of a call of m.
func (s *Server) authenticate(m *serverMethod, h Header) (identity.Actor, error) {
	if h.Token == "" && h.Assertion == nil {
		return identity.Anonymous(), nil
	}
	if s.options.Verifier == nil {
		return identity.Actor{}, errs.New(errs.Unauthenticated, "this service cannot check identity tokens")
	}
	if h.Token == "" {
		return s.options.Verifier.VerifyAssertion(h.Assertion, m.FullMethod)
	}
	return s.options.Verifier.Verify(h.Token, m.FullMethod)
}

// authorize returns a context that carries the actor, if the actor may call m.
func (s *Server) authorize(ctx context.Context, m *serverMethod, h Header) (context.Context, error) {
	actor, err := s.authenticate(m, h)
	if err != nil {
		return ctx, err
	}
	if err := Admit(m.Access, actor, time.Now()); err != nil {
		return ctx, err
	}
	return identity.NewContext(ctx, actor), nil
}
