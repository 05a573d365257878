// Package identity identifies the actor of a call and proves it between services.
//
// Within a service the actor is an [Actor] in the context. Between services it travels as a short-lived token: a
// compact JWS, signed with EdDSA by the sending service, for the audience "souk-internal". Only the gateway, which
// authenticates people, may assert users, guests and anonymous actors; any other service can only assert itself.
// A forged header is therefore useless. Within a process the actor travels as an [Assertion], which is signed only
// when it leaves the process.
package identity

import (
	"context"
	"slices"
	"time"
)

// Kind is the kind of an actor.
type Kind string

// The kinds of actors.
const (
	KindAnonymous Kind = "anonymous"
	KindGuest     Kind = "guest"
	KindUser      Kind = "user"
	KindService   Kind = "service"
	// KindKey is an API key, with which a shop's own system calls.
	KindKey Kind = "key"
)

// Gateway is the only issuer that may assert actors other than itself.
const Gateway = "gateway"

// Actor is the user, guest, API key or service on whose behalf a call is made. Its slices are shared and must not be
// modified.
type Actor struct {
	Kind Kind
	// ID is "usr_…" for a user, "gst_…" for a guest, "key_…" for an API key, the name of a service, or empty.
	ID string
	// Roles of a user by the sign-in provider, e.g. "operator". What they allow is in Permissions.
	Roles []string
	// Permissions are what a user may do in the whole marketplace, and what an API key may do in its shop. See package
	// permission.
	Permissions []string
	// ShopID is the shop of an API key.
	ShopID string
	// SessionID is "ses_…" of a user who calls with a session; it is not secret.
	SessionID string
	// RecentUntil is until when a user's sign-in is a recent one; zero: it is none.
	RecentUntil time.Time
}

// Anonymous returns an actor without an identity.
func Anonymous() Actor { return Actor{Kind: KindAnonymous} }

// Service returns the actor for a service that calls on its own behalf.
func Service(name string) Actor { return Actor{Kind: KindService, ID: name} }

// Can reports whether the actor is a user who has the permission in the whole marketplace.
func (a Actor) Can(permission string) bool {
	return a.IsUser() && slices.Contains(a.Permissions, permission)
}

// KeyCan reports whether the actor is an API key that has the permission in its shop.
func (a Actor) KeyCan(permission string) bool {
	return a.IsKey() && slices.Contains(a.Permissions, permission)
}

// IsUser reports whether the actor is a signed-in user.
func (a Actor) IsUser() bool { return a.Kind == KindUser }

// IsGuest reports whether the actor is a guest.
func (a Actor) IsGuest() bool { return a.Kind == KindGuest }

// IsService reports whether the actor is a service that calls on its own behalf.
func (a Actor) IsService() bool { return a.Kind == KindService }

// IsKey reports whether the actor is an API key of a shop.
func (a Actor) IsKey() bool { return a.Kind == KindKey }

type (
	actorKey struct{}
	tokenKey struct{}
)

// NewContext returns a context that carries the actor.
func NewContext(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// FromContext returns the actor that ctx carries, or an anonymous one.
func FromContext(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Anonymous()
}

// WithToken returns a context whose outgoing calls carry token instead of the service's own identity. It replaces
// an earlier WithToken or WithAssertion; "" restores the service's own identity.
func WithToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// TokenFrom returns the token set with WithToken, or "".
func TokenFrom(ctx context.Context) string {
	token, _ := ctx.Value(tokenKey{}).(string)
	return token
}

// WithAssertion returns a context whose outgoing calls carry a instead of the service's own identity. The gateway
// uses it to pass the actor on.
func WithAssertion(ctx context.Context, a *Assertion) context.Context {
	return context.WithValue(ctx, tokenKey{}, a)
}

// AssertionFrom returns the assertion set with WithAssertion, or nil.
func AssertionFrom(ctx context.Context) *Assertion {
	a, _ := ctx.Value(tokenKey{}).(*Assertion)
	return a
}
