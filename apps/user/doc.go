// Package user is the user service: people with an account, their profile and their preferences.
//
// It does not own sign-in (auth does), nor what a user may do: roles come from the sign-in provider with
// each token, and membership of a shop belongs to the shop service.
//
// # Contract
//
// souk.user.v1.UserService: GetMe and UpdateMe for the user himself, GetUser and SearchUsers for
// operators, BatchGetUsers for other services, EnsureUser for auth. A user is whom the provider names by
// issuer and subject; two identities with one e-mail address are two users, for an address proves nothing.
//
// # Who decides a field
//
// E-mail address: the provider, and every sign-in brings it up to date. An empty one changes nothing.
// Name: the provider, until the user writes one of his own, which no sign-in touches any more; when he
// writes an empty name, the provider's comes back. Phone and preferences: the user.
//
// # Events
//
// Out: evt.user.registered, evt.user.updated; the aggregate is the user, its version the document's revision.
// They hold the ID and nothing else: who needs personal data asks for it. In: none.
//
// # Data
//
// The collection "users" of pkg/document; unique by (issuer, subject), found by the beginning of the
// e-mail address or of the name, upper and lower case alike. And the outbox, see pkg/outbox.
package user
