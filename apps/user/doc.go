// Package user is the user service. It owns people with an account, their profile and their preferences.
//
// It does not own sign-in (auth does) or what a user may do: each token brings the roles from the sign-in
// provider, and the shop service owns the membership of a shop.
//
// # At a glance
//
//   - Owns: people with an account, profile, preferences, their browsers
//   - PostgreSQL: documents users, devices, erased; outbox
//   - Redis: –
//   - Consumes: evt.user.suspended, evt.user.reinstated, evt.user.erased
//   - Publishes: evt.user.*
//
// # Contract
//
// souk.user.v1.UserService: GetMe and UpdateMe for the user, GetUser, SearchUsers, SuspendUser, ReinstateUser, EraseUser
// and RevokeSessions for operators, BatchGetUsers for other services, EnsureUser and RecordSignIn for auth, GetFormerEmail for notification. The provider's issuer and
// subject identify a user. Two identities with one e-mail address are two users, because an address proves nothing.
//
// # Who decides a field
//
// E-mail address: the provider, and every sign-in updates it. An empty one changes nothing.
// Name: the provider, until the user sets one, which no sign-in changes. If the user sets an empty name, the
// provider's is used again. Phone and preferences: the user.
//
// # Suspended users
//
// Whether a user is suspended is a field of the user. The service consumes its own events about it, and repeats the call
// AuthService.SetSuspension with what the user is then until auth has answered: auth ends the sessions, and refuses tokens
// and sign-ins.
// Roles are the provider's; the service only remembers when it last said that somebody is an admin.
//
// # Events
//
// Published: evt.user.registered, .updated, .email_changed, .new_device, .suspended, .reinstated, .erased. The aggregate is the user, its version the
// document's revision. An event holds only the ID: a consumer that needs personal data must ask for it. Consumed: evt.user.suspended, .reinstated, .erased.
//
// # Data
//
// The collection "users" of pkg/document. It is unique by (issuer, subject), and searched by keyed hashes of the whole
// e-mail address and name. Both and the telephone number are encrypted (package personal). The collection "erased" has the
// IDs of people whose data was erased, which deletes the user. The collection "devices" has digests of the browsers with which each
// user has signed in, at most 20. And the outbox, see pkg/outbox.
package user
