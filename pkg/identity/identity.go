// Package identity says who calls, and proves it between services.
//
// Inside a service the caller is an Actor in the context. Between services it travels as a
// short-lived token: a compact JWS with EdDSA and nothing else, audience "souk-internal", signed by the
// service that sends it. Only the gateway, which authenticates people, may assert users, guests and
// anonymous callers; every other service can only speak for itself. So a forged header is worth nothing. Within a
// process it is a [Word], which is signed when it leaves it.
package identity

import (
	"context"
	"slices"
)

// Kind is what a caller is.
type Kind string

// The kinds of callers.
const (
	KindAnonymous Kind = "anonymous"
	KindGuest     Kind = "guest"
	KindUser      Kind = "user"
	KindService   Kind = "service"
)

// RoleOperator is the role of those who run the marketplace.
const RoleOperator = "operator"

// Gateway is the one issuer that may assert callers other than itself.
const Gateway = "gateway"

// Actor is who calls. Its Roles are shared: don't change them.
type Actor struct {
	Kind Kind
	// ID is "usr_…" for a user, "gst_…" for a guest, the name of a service, or empty.
	ID string
	// Roles of a user, e.g. "operator".
	Roles []string
}

// Anonymous returns the actor of whom nothing is known.
func Anonymous() Actor { return Actor{Kind: KindAnonymous} }

// Service returns the actor that a service is by itself.
func Service(name string) Actor { return Actor{Kind: KindService, ID: name} }

// HasRole reports whether the actor is a user with the role.
func (a Actor) HasRole(role string) bool { return a.IsUser() && slices.Contains(a.Roles, role) }

// IsUser reports whether the actor is a signed-in user.
func (a Actor) IsUser() bool { return a.Kind == KindUser }

// IsGuest reports whether the actor is a guest.
func (a Actor) IsGuest() bool { return a.Kind == KindGuest }

// IsService reports whether the actor is a service speaking for itself.
func (a Actor) IsService() bool { return a.Kind == KindService }

// IsOperator reports whether the actor is a user who runs the marketplace.
func (a Actor) IsOperator() bool { return a.HasRole(RoleOperator) }

type (
	actorKey struct{}
	tokenKey struct{}
)

// NewContext returns a context that carries the actor.
func NewContext(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// FromContext returns the actor that ctx carries; an anonymous one when it carries none.
func FromContext(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Anonymous()
}

// WithToken returns a context whose outgoing calls carry the token instead of the service's own. "" takes back what
// WithToken and WithWord said before.
func WithToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// TokenFrom returns the token set with WithToken, or "".
func TokenFrom(ctx context.Context) string {
	token, _ := ctx.Value(tokenKey{}).(string)
	return token
}

// WithWord returns a context whose outgoing calls carry the word instead of the service's own: the gateway passes the
// caller on with it.
func WithWord(ctx context.Context, w *Word) context.Context {
	return context.WithValue(ctx, tokenKey{}, w)
}

// WordFrom returns the word set with WithWord, or nil.
func WordFrom(ctx context.Context) *Word {
	w, _ := ctx.Value(tokenKey{}).(*Word)
	return w
}
